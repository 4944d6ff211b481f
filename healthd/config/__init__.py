"""Configuration: `schema` is what the rest of healthd sees, `load` reads the files, `problems` tells what is wrong."""
