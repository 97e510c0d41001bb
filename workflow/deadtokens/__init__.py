"""How dead tokens drift through embedding space and freeze.

The folders follow the data: ``text`` (corpora, vocabulary, census), ``run`` (what determines a
run's numbers), ``trajectory`` (its record, and how that is read back), ``training`` (model, loop),
``recording`` (the same record of somebody else's training); then what a record says: ``freezing``,
``drift``, ``audit``, ``attribution``, ``stillness``, ``gradients``, ``backprop``, with the
``statistics`` that they share; the ``comparison`` of runs, and what recording ``costs``;
``figures``; last what is said of a whole study, ``claims`` and ``paper``. What the variables of
their files are is said in tables, and written by `labels`. ``report`` says all of one record on a
page. ``study`` holds the configuration, which only claims and paper read besides. Each folder's
``__init__`` is a map of it.
"""
