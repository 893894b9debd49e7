"""The commands of the program: one module each, named like the command.

A module offers `HELP` (one line), `configure(parser)` and `run(arguments) -> exit status`, and imports what it works
with inside `run`, so that the help of all commands appears at once.
"""
