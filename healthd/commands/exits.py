"""Exit codes, by sysexits.h where it has one."""

OK = 0
CHANGES = 2
FAILED = 1
CONFIG = 78
UNAVAILABLE = 69
SOFTWARE = 70
NO_INPUT = 66
UNSURE = 3
WARNINGS = 1
ERRORS = 2
TAKEN_BACK = 130
