"""Claims, evaluated: which hold, which fail, which have not been tested, each with its number.

`claims` is the command. `selection` finds the `sample` of which a claim speaks, by `reduction` of
variables and among the `contrasts` of an experiment; `evaluation` holds it against the criterion,
`table` lists what came of it. The models of claims are in `deadtokens.study.claims`.
"""
