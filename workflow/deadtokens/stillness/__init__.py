"""Why does a component stand still?

`stillness` is the command; `causes` names one cause for each motionless component, and without an
order all that would have held it; `findings` what one update did.
"""
