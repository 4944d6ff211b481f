"""The end of a certificate's life, read from its DER form (RFC 5280 section 4.1).

`ssl` gives a parsed certificate only where it was verified, and a whole X.509 library for one date is too much. So this
walks over the first fields of the certificate:

    Certificate SEQUENCE { tbsCertificate SEQUENCE { [0] version OPTIONAL, serialNumber, signature, issuer,
        validity SEQUENCE { notBefore, notAfter }, ...
"""

from __future__ import annotations

from datetime import UTC, datetime

_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


def not_after(der: bytes) -> float:
    """Unix time at which a certificate expires. ValueError if `der` is not one."""
    try:
        at = _enter(der, _enter(der, 0))
        if der[at] == _VERSION:
            at = _skip(der, at)
        for _ in ("serialNumber", "signature", "issuer"):
            at = _skip(der, at)
        return _time(der, _skip(der, _enter(der, at)))
    except IndexError:
        raise ValueError("the certificate is cut off") from None


def _header(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` begins and ends."""
    first = der[at + 1]
    if first < 0x80:
        return at + 2, at + 2 + first
    begin = at + 2 + (first & 0x7F)
    return begin, begin + int.from_bytes(der[at + 2 : begin], "big")


def _enter(der: bytes, at: int) -> int:
    if der[at] != _SEQUENCE:
        raise ValueError(f"no sequence at byte {at} of the certificate")
    return _header(der, at)[0]


def _skip(der: bytes, at: int) -> int:
    return _header(der, at)[1]


def _time(der: bytes, at: int) -> float:
    """YYMMDDHHMMSSZ, where YY below 50 is 20YY, or YYYYMMDDHHMMSSZ (RFC 5280 section 4.1.2.5)."""
    begin, end = _header(der, at)
    text = der[begin:end].decode("ascii", "replace")
    if der[at] == _UTC_TIME:
        text = ("20" if text < "50" else "19") + text
    elif der[at] != _GENERALIZED_TIME:
        raise ValueError(f"no time at byte {at} of the certificate")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
