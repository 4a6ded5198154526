"""The operator's side of Sluice: the command `sluice` and what it runs.

cli.py       the tree of commands and options, nothing else
outcome.py   how a command ends: exit codes and the errors that carry them
commands/    one file a command
mesh/        the parts of a mesh and the supervisor that keeps them up
demo/        the demo's rules, its origin, and the run that proves the mesh works
"""
