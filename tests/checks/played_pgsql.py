"""A PostgreSQL that is played: its messages, byte by byte."""

from __future__ import annotations

from checks.pgsql import PgsqlCheck
from healthd.check import Verdict
from tests.checks.harness import Item, stream
from tests.checks.harness import same_verdict_for_every_cut as every_cut

JOE = PgsqlCheck("joe", password="secret", database="app")
KNOCK = PgsqlCheck()


def said(kind: bytes, body: bytes = b"") -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def error(state: bytes, text: bytes, severity: bytes = b"ERROR") -> bytes:
    return said(b"E", b"S" + severity + b"\0V" + severity + b"\0C" + state + b"\0M" + text + b"\0Rroutine\0\0")


def row(*values: bytes | None) -> bytes:
    fields = [b"\xff\xff\xff\xff" if v is None else len(v).to_bytes(4, "big") + v for v in values]
    return said(b"D", len(values).to_bytes(2, "big") + b"".join(fields))


def facts(**pairs: str) -> bytes:
    return b"".join(said(b"S", f"{name}\0{value}\0".encode()) for name, value in pairs.items())


def startup(user: str, database: str) -> bytes:
    pairs = f"user\0{user}\0database\0{database}\0application_name\0healthd\0client_encoding\0UTF8\0\0".encode()
    return (len(pairs) + 8).to_bytes(4, "big") + b"\0\3\0\0" + pairs


STARTUP = startup("joe", "app")
LET_IN = said(b"R", b"\0\0\0\0")
CLEAR, MD5 = said(b"R", b"\0\0\0\3"), said(b"R", b"\0\0\0\5salt")
SASL = said(b"R", b"\0\0\0\nSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
READY = said(b"Z", b"I")
NEW = facts(server_version="17.2", in_hot_standby="off", default_transaction_read_only="off")
OLD = facts(server_version="9.6.24")
GREET = LET_IN + NEW + said(b"K", b"\0\0\0\1\0\0\0\2") + READY
DONE = said(b"1") + said(b"2") + row(b"1000") + said(b"s")
END_OF_ONE = said(b"C", b"SELECT 1\0")
ONE = said(b"1") + said(b"2") + row(b"1") + said(b"s") + READY
TERMINATE = said(b"X")
WATCH = b"SELECT set_config('client_connection_check_interval', '1000', true)"


def asking(*queries: bytes) -> bytes:
    rest = said(b"B", b"\0\0\0\0\0\0\0\0") + said(b"E", b"\0\0\0\0\1")
    return b"".join(said(b"P", b"\0" + query + b"\0\0\0") + rest for query in queries) + said(b"S")


def verdict_for(check: PgsqlCheck, *script: Item) -> Verdict:
    length = max((len(item) for item in script if isinstance(item, bytes)), default=0)
    return every_cut(check, lambda: [stream(*script)], min(length, 120))
