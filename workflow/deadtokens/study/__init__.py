"""The configuration, and what it asks for; no other folder reads it.

`config` has its models, `files` reads it, `validation` tells a mistake in a sentence, `study` names
texts, vocabularies and runs by content and finds `recordings` of other trainings, runs with some
settings among the `members` of an experiment, and the `models` that are examined, `figures` what
can be drawn, `captions` what is said of it, and `wanted` of which experiments, from which files,
`claims` what is claimed of it, `needed` all that is read for both; `targets` holds what is asked
for by path to it. `inventory` lists every file that is made, `estimates` says how long and how
large it will be, and `room` how much of it is there at once; `arguments` are those of commands that
go through all of it; `plan`, `archive`, `restore` and `document` are the commands ``plan``,
``archive``, ``restore`` and ``config``.
"""
