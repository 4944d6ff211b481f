"""TLS contexts, shared by all probes that want the same: making one costs 20 ms with the system's authorities.

A context is made again when one of its files has changed, which is looked at once a second at most. A file that cannot
be read is our own fault: it makes the probe Inconclusive and names the file.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from healthd.check import Inconclusive, Tls

LOOK_EVERY = 1.0
"""Seconds between two looks at the files of a context."""

Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Key:
    """What a context is made of; the rest of `Tls` belongs to a connection."""

    verify: bool
    verify_name: bool
    ca_file: str | None
    cert_file: str | None
    key_file: str | None
    alpn: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(name for name in (self.ca_file, self.cert_file, self.key_file) if name is not None)


@dataclass(slots=True)
class _Made:
    """A context, or why there is none; of which files; when they were last looked at."""

    context: ssl.SSLContext | Inconclusive
    stamp: Stamp
    looked: float


class Contexts:
    """The contexts of one engine. clock: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._made: dict[_Key, _Made] = {}

    def of(self, tls: Tls) -> ssl.SSLContext:
        """The context for `tls`. Inconclusive if one of its files cannot be used."""
        key = _Key(tls.verify, tls.verify_name, tls.ca_file, tls.cert_file, tls.key_file, tls.alpn)
        made = self._made.get(key)
        now = self._clock()
        if made is None or now - made.looked >= LOOK_EVERY:
            made = self._made[key] = _look(key, made, now)
        if isinstance(made.context, Inconclusive):
            raise Inconclusive(made.context.detail)
        return made.context

    def recheck(self) -> None:
        """Look at all files anew when they are next needed."""
        for made in self._made.values():
            made.looked = float("-inf")


def _look(key: _Key, made: _Made | None, now: float) -> _Made:
    """The same context if its files are as they were, else a new one."""
    try:
        stamp = tuple(_stamp(name) for name in key.files)
        if made is not None and made.stamp == stamp:
            return _Made(made.context, stamp, now)
        return _Made(_make(key), stamp, now)
    except Inconclusive as why:
        return _Made(why, (), now)


def _stamp(name: str) -> tuple[str, int, int, int]:
    try:
        with open(name, "rb") as file:  # noqa: PTH123 - fstat of what was really opened
            status = os.fstat(file.fileno())
    except OSError as error:
        raise Inconclusive(f"{name}: {error.strerror}") from None
    return (name, status.st_mtime_ns, status.st_size, status.st_ino)


def _make(key: _Key) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not (key.verify and key.verify_name):
        context.check_hostname = False
    if not key.verify:
        context.verify_mode = ssl.CERT_NONE
    if key.ca_file is not None:
        _load_authorities(context, key.ca_file)
    elif key.verify:
        context.load_default_certs()
    if key.cert_file is not None:
        _load_own(context, key.cert_file, key.key_file)
    if key.alpn:
        context.set_alpn_protocols(list(key.alpn))
    return context


def _load_authorities(context: ssl.SSLContext, name: str) -> None:
    try:
        context.load_verify_locations(name)
    except ssl.SSLError:
        raise Inconclusive(f"{name}: no certificate in PEM form in it") from None
    except OSError as error:
        raise Inconclusive(f"{name}: {error.strerror}") from None


def _load_own(context: ssl.SSLContext, cert_file: str, key_file: str | None) -> None:
    names = cert_file if key_file is None else f"{cert_file} with key {key_file}"
    try:
        context.load_cert_chain(cert_file, key_file, password=_no_password)
    except _Encrypted:
        raise Inconclusive(f"{key_file or cert_file}: the key is encrypted; give one without a passphrase") from None
    except ssl.SSLError as error:
        what = "the key does not belong to the certificate" if error.reason == "KEY_VALUES_MISMATCH" else "not usable"
        raise Inconclusive(f"{names}: {what} ({error.reason or error})") from None
    except OSError as error:
        raise Inconclusive(f"{names}: {error.strerror}") from None


class _Encrypted(Exception):
    """OpenSSL would ask the terminal for a passphrase."""


def _no_password() -> str:
    raise _Encrypted
