"""BER as LDAP restricts it (X.690; RFC 4511, 5.1): one-byte tags, definite lengths, no strings in parts.

Reading does not recurse: an element's contents stay bytes until somebody takes the elements in them one by one, so it
costs nothing how deep a peer nests, and nothing is read that is longer than the caller allows.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from healthd.check import Reader, Step

BOOLEAN, INTEGER, OCTETS, ENUMERATED, SEQUENCE = 0x01, 0x02, 0x04, 0x0A, 0x30
_HIGH_TAG = 0x1F  # what the low bits of a tag are when it goes on in further bytes
_LONG = 0x80  # set in the first byte of a length that goes on in that many further bytes
_MOST_LENGTH_BYTES = 4
_MOST_INTEGER_BYTES = 4  # LDAP's integers end at maxInt, 2^31-1


class BerError(ValueError):
    """Bytes that are not the BER they should be; the text says why."""


class TooLong(BerError):
    """An element that is longer than the caller allows."""


# --- writing ----------------------------------------------------------------------------------------------------


def pack(tag: int, *contents: bytes) -> bytes:
    """One element: tag (one byte), shortest length, and the contents one after the other."""
    value = b"".join(contents)
    size = len(value)
    if size < _LONG:
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG | len(length))) + length + value


def pack_integer(value: int, tag: int = INTEGER) -> bytes:
    """An INTEGER or ENUMERATED in as few bytes as it takes."""
    bits = (value if value >= 0 else ~value).bit_length()
    return pack(tag, value.to_bytes(bits // 8 + 1, "big", signed=True))


def pack_boolean(value: bool, tag: int = BOOLEAN) -> bytes:
    """A BOOLEAN; TRUE is 0xFF, as LDAP wants it."""
    return pack(tag, b"\xff" if value else b"\x00")


def pack_text(text: str, tag: int = OCTETS) -> bytes:
    """A text as an OCTET STRING of UTF-8, as every text of LDAP is."""
    return pack(tag, text.encode())


# --- reading ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Elements:
    """The elements in the contents of a constructed one, to be taken in order. at: where the next one begins.

    What nobody takes is not looked at: LDAP lets what is to come append elements to a sequence (RFC 4511, 4).
    """

    data: bytes
    at: int = 0

    def __bool__(self) -> bool:
        """Whether there is another one."""
        return self.at < len(self.data)

    def next_tag(self) -> int | None:
        """The tag of the next one, None at the end."""
        return self.data[self.at] if self else None

    def take(self, tag: int) -> bytes:
        """Contents of the next element. BerError unless it has this tag and is whole."""
        if not self:
            raise BerError(f"element {tag:#04x} is missing")
        got = self.data[self.at]
        if got != tag:
            raise BerError(f"element {got:#04x} instead of {tag:#04x}")
        start, size = self._extent()
        self.at = start + size
        return self.data[start : self.at]

    def take_if(self, tag: int) -> bytes | None:
        """Contents of the next element if it has this tag; None, with nothing taken, otherwise."""
        return self.take(tag) if self.next_tag() == tag else None

    def take_integer(self, tag: int = INTEGER) -> int:
        """An INTEGER or ENUMERATED of up to four bytes."""
        contents = self.take(tag)
        if not 1 <= len(contents) <= _MOST_INTEGER_BYTES:
            raise BerError(f"number of {len(contents)} bytes")
        return int.from_bytes(contents, "big", signed=True)

    def take_any(self) -> tuple[int, bytes]:
        """Tag and contents of the next element, whatever it is."""
        tag = self.next_tag()
        if tag is None:
            raise BerError("an element is missing")
        check_tag(tag)
        return tag, self.take(tag)

    def _extent(self) -> tuple[int, int]:
        """Start and length of the next element's contents. BerError if they are not all there."""
        lead = self.data[self.at + 1 : self.at + 2]
        if not lead:
            raise BerError("element without a length")
        count = length_bytes(lead[0])
        start = self.at + 2 + count
        size = int.from_bytes(self.data[self.at + 2 : start], "big") if count else lead[0]
        if start + size > len(self.data):
            raise BerError("element is longer than what it is in")
        return start, size


def check_tag(tag: int) -> None:
    """BerError for a tag of more than one byte, which LDAP has no use for."""
    if tag & _HIGH_TAG == _HIGH_TAG:
        raise BerError(f"tag of several bytes ({tag:#04x}...)")


def length_bytes(lead: int) -> int:
    """How many bytes of length follow the first one; 0 where that is the length. BerError for a form LDAP forbids."""
    count = lead & ~_LONG
    if lead == _LONG:
        raise BerError("indefinite length")
    if lead > _LONG and count > _MOST_LENGTH_BYTES:
        raise BerError(f"length of {count} bytes")
    return count if lead > _LONG else 0


def read(reader: Reader, tag: int, most: int) -> Generator[Step, Any, bytes]:
    """Read one element from a stream: its contents, of up to `most` bytes.

    Raises BerError as soon as it is not what was expected, TooLong before it is read, and CheckFailed(PROTOCOL) if the
    stream ends within it.
    """
    first = (yield from reader.exactly(1))[0]
    if first != tag:
        raise BerError(f"it begins with {first:#04x} instead of {tag:#04x}")
    size: int = (yield from reader.exactly(1))[0]
    if count := length_bytes(size):
        size = int.from_bytes((yield from reader.exactly(count)), "big")
    if size > most:
        raise TooLong(f"element of {size} bytes, where no more than {most} are allowed")
    return (yield from reader.exactly(size))
