"""What an experiment's runs come to, and what changing one setting does.

`outcomes` is the command: it reads the `members` of an experiment, the numbers of each by
`measures`, what tells them apart by `settings`, and the `effects` paired by seed, with their
`intervals` and those by `bootstrap`. `labels` says what the variables mean, `tables` are the same
numbers as CSV; `shapes` what an experiment varies, from which follows how it can be drawn.
"""
