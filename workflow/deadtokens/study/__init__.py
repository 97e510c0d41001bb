"""The configuration, and what it asks for; no other folder reads it.

`config` has its models, `files` reads it, `validation` tells a mistake in a sentence, `study` names
texts, vocabularies and runs by content, `figures` what can be drawn; `size` and `document` are the
commands ``size`` and ``config``.
"""
