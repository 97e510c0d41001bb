"""Embedding matrices of any model: what files hold them, and which of their rows stand out.

A `matrix` has a row for each token.

What the rows are for: `tokenizer` reads the vocabulary of a model, `spelling` makes bytes of its
names, `reach` asks which tokens no text gives, and `tokens` describes the token of every row.
"""
