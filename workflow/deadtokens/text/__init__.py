"""From texts to what a run trains on: corpora, a vocabulary, a stream of tokens, a census.

`sources` and `local` get texts, `corpus` notes where one comes from; `vocabulary` trains the
tokenizer, `stream` encodes the text, `census` counts its tokens and says why each dead one is dead
(`scripts` knows its writing, `readable` prints any; `library` loads a tokenizer that may be
hostile). `read` reads back what they made.
"""
