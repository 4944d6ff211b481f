"""The commands of `healthd`, one file each: `add(parser)` has its arguments, `main(arguments)` gives its exit code."""
