"""The checks: one file per kind. Each imports `healthd.check` only; `python -m checks KIND ADDRESS` asks once."""
