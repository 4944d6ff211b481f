"""`healthd top`: a live view of a running daemon in a terminal.

`feed` asks the daemon, `model` is what is shown as a value, `panes` makes styled lines of it, `screen` puts them on the
terminal. All but the first and the last are pure.
"""
