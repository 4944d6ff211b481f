"""Files of ldirectord: read as it reads them (strict) or as their authors meant them, and turned into our own tables.

`lines` cuts a file into directives, `directives` and `globals` give them meaning, `reals` reads servers, `setup` fills
in what depends on each other: the result is what ldirectord itself would have in memory. `tree` writes that down as the
tables of a healthd.toml, from which the rest goes on as with every other file; `convert` prints these tables.
"""
