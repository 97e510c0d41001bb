"""How dead tokens drift through embedding space and freeze.

The folders follow the data: ``text`` (corpora, vocabulary, census), ``training`` (model, optimizer,
loop), ``trajectory`` (what is recorded, and how it is read back), then what the record says:
``freezing``, ``drift``, ``accounting``, ``gradients``, ``backprop``, and in ``analysis`` what they
share; last ``figures``. ``study`` holds the configuration; no other folder reads it. Each folder's
``__init__`` is a map of it.
"""
