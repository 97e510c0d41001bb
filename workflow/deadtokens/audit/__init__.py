"""Does the replayed optimizer give every recorded bit?

`audit` is the command. `moves` holds the ways to take an update: the run's own, torch's, the
textbook's; `replay` takes them and compares every state; `controls` shows that this can fail;
`recordings` finds out by which of torch's implementations another training was moved; `tally`
counts what was compared, `reading` reads an audit back.
"""
