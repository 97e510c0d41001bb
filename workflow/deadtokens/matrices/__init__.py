"""Embedding matrices of any model: what files hold them, and which of their rows stand out.

`open` finds a model's matrices by their names; `safetensors_file`, `gguf` and `torch_file` read
what a file of each kind says of its tensors, and `stored` maps the rows from there. `matrix` is
what an examination sees of all this: a row for each token. `record` has the last W of a training.

What the rows are for: `tokenizer` reads the vocabulary of a model, `spelling` makes bytes of its
names, `reach` asks which tokens no text gives, and `tokens` describes the token of every row.

`duplicates` finds rows that are alike, to the bit or within some units; `indicators` tell those
that training has not moved, and `cloud` says where these lie together. `examination` has all of
this as one dataset, `examine` is the command; `history` follows the indicators through a run, whose
dead tokens are known. `sources` pins real models, and `weights` downloads them.
"""
