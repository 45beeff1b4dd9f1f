"""A campaign against every input that people give: good files, mutated by the thousand.

`kinds` lists the kinds of inputs; a kind makes good files and reads them by the project's public
entry points. `mutate` damages them, `judge` says what a damaged file came to, `children` runs the
cases in processes that may crash or hang. Case NUMBER of KIND is the same every time.
"""
