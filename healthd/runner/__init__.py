"""Scripts run in a process of their own: `child` is that process, `client` asks it, `process` starts and watches it.

Why a process: starting a program freezes the one who starts it until the program's exec is through (0.6 to 4 ms, much
more under load), and a prober must not be frozen. Why a small one: the less there is to copy, the cheaper a start is;
`child`, `scripts` and `wire` therefore import little more than the standard library's built-in modules.
"""
