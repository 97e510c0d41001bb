"""Why does a component stand still?

`stillness` is the command; `causes` names one cause for each motionless component, `findings` what
one update did.
"""
