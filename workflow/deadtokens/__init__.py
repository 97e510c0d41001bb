"""How dead tokens drift through embedding space and freeze.

The folders follow the data: ``text`` (corpora, vocabulary, census), ``training`` (model, optimizer,
loop), ``trajectory`` (what is recorded, and how it is read back), ``analysis`` (what the record
says), ``figures``. ``study`` holds the configuration; no other folder reads it.
"""
