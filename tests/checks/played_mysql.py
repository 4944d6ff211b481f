"""Packets of a MySQL server, for transcripts."""

from __future__ import annotations

import hashlib
import struct

from checks.mysql import MysqlCheck
from healthd.check import Verdict
from tests.checks.harness import Item, stream
from tests.checks.harness import same_verdict_for_every_cut as every_cut

JOE = MysqlCheck("joe", password="secret")
KNOCK = MysqlCheck()
NATIVE, CACHING = "mysql_native_password", "caching_sha2_password"
SCRAMBLE = b"abcdefgh0123456789AB"
SSL, PLUGIN_AUTH = 0x800, 0x80000


def packet(turn: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes((turn,)) + body


def packets(turn: int, *bodies: bytes) -> bytes:
    return b"".join(packet(turn + place, body) for place, body in enumerate(bodies))


def hello(plugin: str = NATIVE, version: str = "8.4.3", capabilities: int = 0xFFFFFFFF) -> bytes:
    low, high = capabilities & 0xFFFF, capabilities >> 16
    fields = SCRAMBLE[:8] + b"\0" + struct.pack("<HBHHB", low, 45, 2, high, 21) + bytes(10) + SCRAMBLE[8:] + b"\0"
    name = plugin.encode() + b"\0" if capabilities & PLUGIN_AUTH else b""
    return packet(0, b"\x0a" + version.encode() + b"\0\x07\0\0\0" + fields + name)


def error(code: int, state: str, text: str) -> bytes:
    return b"\xff" + code.to_bytes(2, "little") + (f"#{state}" if state else "").encode() + text.encode()


def text(value: bytes | None) -> bytes:
    if value is None:
        return b"\xfb"
    return (bytes((len(value),)) if len(value) < 251 else b"\xfc" + len(value).to_bytes(2, "little")) + value


def row(*values: bytes | None) -> bytes:
    return b"".join(map(text, values))


def result(*rows: bytes, columns: int = 1, status: int = 2, turn: int = 1) -> bytes:
    defined = [b"\x03def\0\0\0\x01a\0\x0c"] * columns
    end = b"\xfe\0\0" + status.to_bytes(2, "little")
    return packets(turn, bytes((columns,)), *defined, b"\xfe\0\0\2\0", *rows, end)


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def native(password: bytes, scramble: bytes = SCRAMBLE) -> bytes:
    once = hashlib.sha1(password).digest()
    return xor(once, hashlib.sha1(scramble + hashlib.sha1(once).digest()).digest())


def caching(password: bytes, scramble: bytes = SCRAMBLE) -> bytes:
    once = hashlib.sha256(password).digest()
    return xor(once, hashlib.sha256(hashlib.sha256(once).digest() + scramble).digest())


def login(user: bytes, proof: bytes, plugin: str, turn: int = 1, extra: int = 0, database: bytes = b"") -> bytes:
    capabilities = 0x1 | 0x2 | 0x200 | 0x2000 | 0x8000 | 0x20000 | PLUGIN_AUTH | extra | (8 if database else 0)
    start = struct.pack("<IIB", capabilities, 1 << 24, 45) + bytes(23)
    names = (database + b"\0" if database else b"") + plugin.encode() + b"\0"
    return packet(turn, start + user + b"\0" + bytes((len(proof),)) + proof + names)


OK = b"\0\0\0\2\0\0\0"
LET_IN = packet(2, OK)
LIMIT = (
    b"SET SESSION sql_select_limit = 1, max_execution_time = "
    b"IF(@@max_execution_time > 0 AND @@max_execution_time < 30000, @@max_execution_time, 30000)"
)
SET = packet(1, OK)
QUIT = packet(0, b"\x01")


def verdict_for(check: MysqlCheck, *script: Item) -> Verdict:
    length = max((len(item) for item in script if isinstance(item, bytes)), default=0)
    return every_cut(check, lambda: [stream(*script)], min(length, 120))
