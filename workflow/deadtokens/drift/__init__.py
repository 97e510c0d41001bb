"""Where the cloud of dead tokens goes.

`drift` is the command: it takes the `record`, follows the clouds in one pass (`follow`, sums in
`cloud`), describes them (`clouds`), finds principal `components` of several sets
(`component_sets`), names their `directions`, and asks what a token's drift depends on (`tokens`,
`dependence`), what the mean hidden states alone would have done (`hindcast`), where the first
updates say that it ends (`endpoint`), and what a random `walk` would look like. `plane` is what is
drawn, `labels` what the variables mean.
"""
