"""Answers of RADIUS servers, for tests."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

SECRET = b"xyzzy5461"
Reply = Callable[[bytes], bytes]


def signed(code: int, asked: bytes, attributes: bytes, proof: bool = True, secret: bytes = SECRET) -> bytes:
    """An answer as RFC 2865, 3 and RFC 3579, 3.2 have it, written without the check's own code."""
    placed = (b"\x50\x12" + bytes(16) if proof else b"") + attributes
    header = bytes((code, asked[1])) + (20 + len(placed)).to_bytes(2, "big")
    if proof:
        mac = hmac.new(secret, header + asked[4:20] + placed, "md5").digest()
        placed = b"\x50\x12" + mac + placed[18:]
    return header + hashlib.md5(header + asked[4:20] + placed + secret).digest() + placed


def answer(code: int, attributes: bytes = b"", proof: bool = True, secret: bytes = SECRET) -> Reply:
    return lambda asked: signed(code, asked, attributes, proof, secret)


def message(text: str) -> bytes:
    return bytes((18, len(text) + 2)) + text.encode()
