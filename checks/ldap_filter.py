"""Search filters of LDAP: from how people write them (RFC 4515, 4526) to how they are sent (RFC 4511, 4.5.1.7)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from checks import ber

_AND, _OR, _NOT = 0xA0, 0xA1, 0xA2
_EQUAL, _SUBSTRINGS, _PRESENT, _EXTENSIBLE = 0xA3, 0xA4, 0x87, 0xA9
_COMPARISONS = {"=": _EQUAL, ">=": 0xA5, "<=": 0xA6, "~=": 0xA8}
_INITIAL, _ANY, _FINAL = 0x80, 0x81, 0x82
_RULE, _TYPE, _VALUE, _DN_ATTRIBUTES = 0x81, 0x82, 0x83, 0x84
_DEEPEST = 64

_OID = r"(?:[A-Za-z][A-Za-z0-9_-]*|[0-9]+(?:\.[0-9]+)*)"  # `_` is not in RFC 4512, but in some servers' schemas
ATTRIBUTE = rf"{_OID}(?:;[A-Za-z0-9-]+)*"
_ITEM = re.compile(
    rf"(?P<type>{ATTRIBUTE})?"
    rf"(?:(?P<dn>:[dD][nN])?(?P<rule>:{_OID})?(?P<extensible>:=)|(?P<comparison>[~<>]?=))"
    r"(?P<value>[^()\x00]*)"
)
_ESCAPE = re.compile(rb"\\([0-9a-fA-F]{2})?")


def filter_rule(text: str) -> str:
    """A filter; the text itself if it is right."""
    compiled(text)
    return text


def compiled(text: str) -> bytes:
    """The filter in BER. Raises ValueError, with the place, for what RFC 4515 does not know."""
    cursor = _Cursor(text)
    packed = cursor.filter(0)
    if cursor.at < len(text):
        raise cursor.error("nothing may follow the filter")
    return packed


@dataclass(slots=True)
class _Cursor:
    """Reads a filter from left to right."""

    text: str
    at: int = 0

    def error(self, what: str) -> ValueError:
        return ValueError(f"{what}, at position {self.at} of {self.text!r}")

    def expect(self, char: str) -> None:
        if not self.text.startswith(char, self.at):
            raise self.error(f"{char!r} is missing")
        self.at += 1

    def filter(self, depth: int) -> bytes:
        if depth > _DEEPEST:
            raise self.error(f"filters are nested deeper than {_DEEPEST}")
        self.expect("(")
        match self.text[self.at : self.at + 1]:
            case "&":
                packed = self.several(_AND, depth)
            case "|":
                packed = self.several(_OR, depth)
            case "!":
                self.at += 1
                packed = ber.pack(_NOT, self.filter(depth + 1))
            case _:
                packed = self.item()
        self.expect(")")
        return packed

    def several(self, tag: int, depth: int) -> bytes:
        """What `&` or `|` stands before; nothing at all is true or false by itself (RFC 4526)."""
        self.at += 1
        parts = []
        while self.text.startswith("(", self.at):
            parts.append(self.filter(depth + 1))
        return ber.pack(tag, *parts)

    def item(self) -> bytes:
        found = _ITEM.match(self.text, self.at)
        if found is None:
            raise self.error("an attribute, one of = ~= >= <= :=, and a value are wanted")
        packed = self.extensible(found) if found["extensible"] else self.comparison(found)
        self.at = found.end()
        return packed

    def comparison(self, found: re.Match[str]) -> bytes:
        if not found["type"]:
            raise self.error("an attribute is missing")
        if found["comparison"] == "=" and "*" in found["value"]:
            return self.substrings(found["type"], found["value"].split("*"))
        value = ber.pack(ber.OCTETS, self.value(found["value"]))
        return ber.pack(_COMPARISONS[found["comparison"]], ber.pack_text(found["type"]), value)

    def substrings(self, attribute: str, parts: list[str]) -> bytes:
        """`cn=a*b*c`; `cn=*` asks whether there is one at all."""
        if parts == ["", ""]:
            return ber.pack_text(attribute, _PRESENT)
        if "" in parts[1:-1]:
            raise self.error("nothing stands between two asterisks")
        tags = (_INITIAL, *(_ANY for _ in parts[1:-1]), _FINAL)
        packed = [ber.pack(tag, self.value(part)) for tag, part in zip(tags, parts, strict=True) if part]
        return ber.pack(_SUBSTRINGS, ber.pack_text(attribute), ber.pack(ber.SEQUENCE, *packed))

    def extensible(self, found: re.Match[str]) -> bytes:
        """`cn:dn:caseExactMatch:=x`, where all but the value and one of attribute and rule may be left out."""
        if not found["type"] and not found["rule"]:
            raise self.error("an attribute or a matching rule is missing")
        parts = []
        if found["rule"]:
            parts.append(ber.pack_text(found["rule"][1:], _RULE))
        if found["type"]:
            parts.append(ber.pack_text(found["type"], _TYPE))
        parts.append(ber.pack(_VALUE, self.value(found["value"])))
        if found["dn"]:
            parts.append(ber.pack_boolean(True, _DN_ATTRIBUTES))
        return ber.pack(_EXTENSIBLE, *parts)

    def value(self, text: str) -> bytes:
        """The bytes of a value, in which a byte may be written as a backslash and two hex digits."""
        if "*" in text:
            raise self.error(r"an asterisk in a value is written \2a")
        return _ESCAPE.sub(self._unescaped, text.encode())

    def _unescaped(self, found: re.Match[bytes]) -> bytes:
        if found[1] is None:
            raise self.error(r"a backslash stands before two hex digits; itself it is written \5c")
        return bytes.fromhex(found[1].decode())
