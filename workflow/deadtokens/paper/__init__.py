"""The paper of a study: its data as JSON, in which each number has its source, and the PDF.

`paper` is the command. `sources` says from which derived files and figures it is made; `facts` is
what the text may say in numbers; `methods`, `experiments`, `recordings`, `models`, `costs`,
`illustrations` and `provenance` gather what it says, written by `words`. `prose` refuses a number
that the template types by itself; `typeset` makes the PDF. The template is in ``workflow/paper``.
"""
