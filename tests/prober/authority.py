"""Certificates for the prober's tests, made by an authority of their own."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import trustme


@cache
def authority() -> trustme.CA:
    """The authority that the tests' servers are certified by."""
    return trustme.CA()


def serving(*names: str, days: float = 30, issuer: trustme.CA | None = None) -> ssl.SSLContext:
    """A server's context with a certificate for `names` that expires after `days`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate(*names, days=days, issuer=issuer).configure_cert(context)
    return context


def certificate(*names: str, days: float = 30, issuer: trustme.CA | None = None) -> trustme.LeafCert:
    """A certificate for `names` that expires in `days` days and an hour."""
    now = datetime.now(UTC)
    ends = now + timedelta(days=days, hours=1)
    return (issuer or authority()).issue_cert(*names, not_before=now - timedelta(days=60), not_after=ends)


def trusted(folder: Path, issuer: trustme.CA | None = None, name: str = "ca.pem") -> str:
    """Path of a file in `folder` with the authority's certificate."""
    path = folder / name
    (issuer or authority()).cert_pem.write_to_path(str(path))
    return str(path)
