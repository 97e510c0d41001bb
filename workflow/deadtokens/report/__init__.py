"""One page on one record: all its analyses, its figures, its numbers, and what cannot be said.

`analyse` is the command: it needs no configuration and no Snakemake. `attempts` runs the analyses
and draws the figures, each for itself; `contents` says what was recorded, `numbers` what it comes
to, `replay` what the audit found; `page` writes it all as HTML.
"""
