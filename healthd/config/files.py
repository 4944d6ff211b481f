"""Whether the files that a configuration names can be used."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def unusable(path: str, use: str) -> str:
    """Why a file cannot be read or executed (`use` is "read" or "execute"); empty if it can."""
    file = Path(path)
    if not file.is_absolute():
        return f"expected an absolute path, found '{path}'"
    try:
        if not file.exists():
            return f"{path} does not exist"
        if not file.is_file():
            return f"{path} is not a file"
    except (OSError, ValueError) as error:
        return f"{path}: {error.strerror if isinstance(error, OSError) else error}"
    if not os.access(path, os.X_OK if use == "execute" else os.R_OK):
        return f"{path} is not executable" if use == "execute" else f"{path} cannot be read"
    return ""


def no_account(find: Callable[[str], object], what: str, name: str | None) -> str:
    """Why a user or group cannot be used (`find` is getpwnam or getgrnam); empty if it can."""
    if name is None:
        return ""
    try:
        find(name)
    except KeyError:
        return f"there is no {what} '{name}' on this machine"
    return ""


def no_program(command: str) -> str:
    """Why a program cannot be started: one with a slash by its path, others are looked for in PATH; empty if it can."""
    if "/" in command:
        return unusable(command, "execute")
    return "" if shutil.which(command) else f"there is no program '{command}' in PATH"
