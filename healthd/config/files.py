"""Whether the files that a configuration names can be used."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path

from healthd.check import Tls


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


def credential(file: Path) -> Path | None:
    """Where a file of secrets is: itself, or among the credentials that systemd gave us; None if it gave us none."""
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    if file.is_absolute():
        return file
    return Path(given) / file if given else None


def no_folder(path: str) -> str:
    """Why a file cannot be made at a path: the folder is missing; empty if it is there."""
    folder = Path(path).parent
    try:
        return "" if folder.is_dir() else f"there is no folder {folder}"
    except (OSError, ValueError) as error:
        return f"{folder}: {error.strerror if isinstance(error, OSError) else error}"


def unappendable(path: str) -> str:
    """Why no lines can be appended to a file, which is made if it is not there; empty if they can."""
    file = Path(path)
    missing = no_folder(path)
    if missing:
        return missing
    try:
        if file.is_dir():
            return f"{path} is a folder"
        there = file.exists()
    except (OSError, ValueError) as error:
        return f"{path}: {error.strerror if isinstance(error, OSError) else error}"
    if there:
        return "" if os.access(path, os.W_OK) else f"{path} cannot be written"
    return "" if os.access(file.parent, os.W_OK | os.X_OK) else f"no file can be made in {file.parent}"


def no_account(find: Callable[[str], object], what: str, name: str | None) -> str:
    """Why a user or group cannot be used (`find` is getpwnam or getgrnam); empty if it can."""
    if name is None:
        return ""
    try:
        find(name)
    except KeyError:
        return f"there is no {what} '{name}' on this machine"
    return ""


def unfit_certificate(tls: Tls) -> tuple[str, str] | None:
    """Which option of TLS names files that cannot be loaded, and why; None if all can."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca_file is not None:
            context.load_verify_locations(tls.ca_file)
    except OSError:
        return "ca_file", f"{tls.ca_file} has no certificate in PEM form"
    try:
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file, password=_NO_PASSWORD)
    except OSError as error:
        return "cert_file", _unfit_pair(tls, error)
    return None


_NO_PASSWORD = b"\0"  # nobody is there to be asked for one; a key that has one then fails at once


def _unfit_pair(tls: Tls, error: OSError) -> str:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"{tls.cert_file} is not the certificate of the key"
    files = " and ".join(filter(None, (tls.cert_file, tls.key_file)))
    return f"{files}: no certificate and key without password in PEM form"


def no_program(command: str) -> str:
    """Why a program cannot be started: one with a slash by its path, others are looked for in PATH; empty if it can."""
    if "/" in command:
        return unusable(command, "execute")
    return "" if shutil.which(command) else f"there is no program '{command}' in PATH"
