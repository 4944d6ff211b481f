"""What clients and servers of LDAP say to each other, for tests."""

from __future__ import annotations

from checks import ber

ANONYMOUS_BIND = bytes.fromhex("300c 020102 6007 020103 0400 8000")
ROOT_SEARCH = bytes.fromhex(
    "302a 020103 6325 0400 0a0100 0a0102 020101 020100 010100 870b 6f626a656374436c617373 3005 0403 312e31"
)
UNBIND = bytes.fromhex("3005 020104 4200")
START_TLS = bytes.fromhex("301d 020101 7718 8016") + b"1.3.6.1.4.1.1466.20037"
BOUND = bytes.fromhex("300c 020102 6107 0a0100 0400 0400")
DONE = bytes.fromhex("300c 020103 6507 0a0100 0400 0400")
TLS_BEGINS = bytes.fromhex("300c 020101 7807 0a0100 0400 0400")


def message(number: int, kind: int, *parts: bytes) -> bytes:
    return ber.pack(0x30, ber.pack_integer(number), ber.pack(kind, *parts))


def result(number: int, kind: int, code: int, text: str = "", *more: bytes) -> bytes:
    return message(number, kind, ber.pack_integer(code, 0x0A), ber.pack_text(""), ber.pack_text(text), *more)


def entry(name: str = "", number: int = 3, **attributes: tuple[str, ...]) -> bytes:
    parts = [
        ber.pack(0x30, ber.pack_text(key), ber.pack(0x31, *map(ber.pack_text, values)))
        for key, values in attributes.items()
    ]
    return message(number, 0x64, ber.pack_text(name), ber.pack(0x30, *parts))


def referral(*places: str) -> bytes:
    return ber.pack(0xA3, *map(ber.pack_text, places))


def reference(place: str) -> bytes:
    return message(3, 0x73, ber.pack_text(place))
