"""Where the cloud of dead tokens goes.

`drift` is the command: it takes the `record`, follows the clouds in one pass (`follow`, sums in
`cloud`), describes them (`clouds`), finds principal `components` of several sets
(`component_sets`) and of random walks (`walk`), names their `directions`, and asks what a token's
drift depends on (`tokens`, `dependence`), what the mean hidden states alone would have done
(`hindcast`) and what foretells where the cloud ends (`endpoint`). `plane` is what is drawn,
`labels` what the variables mean.
"""
