"""Work on collections that outgrow a process or a machine; see README.md.

Ours are what a unit of work is, its atomic result, and a merge that refuses gaps; handing units
out is left to processes, to a scheduler's static shards or to Ray.
"""
