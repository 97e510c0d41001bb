"""Does the replayed optimizer give every recorded bit?

`audit` is the command; `tally` counts what was compared, `reading` reads an audit back.
"""
