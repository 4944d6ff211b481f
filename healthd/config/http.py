"""The table [http]: where the daemon answers on TCP, to whom, and what must not be left open by accident."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from healthd.config.addresses import Endpoint, split
from healthd.config.decode import Layer, Report, Unfit, key, keys_of, plain
from healthd.config.files import unfit_certificate, unusable
from healthd.config.kinds import flag, many, matching, path
from healthd.config.schema import HttpSettings, Token
from healthd.tls import Tls

SHORTEST_TOKEN = 16
LONGEST_LINE = 1000
WORLD, GROUP_WRITES = 0o007, 0o020
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,99}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
ALL_OURS = "root"
"""Whoever is called so may speak for others on the control socket; over TCP nobody is."""


def _listen(value: object) -> Endpoint:
    text, port = split(value)
    try:
        found = ip_address(text)
    except ValueError:
        raise Unfit("give an address, not a name") from None
    if port is None:
        raise Unfit("the port is missing")
    if found.is_multicast:
        raise Unfit("it is not the address of one machine")
    return Endpoint(found, port)


listen = plain('an IP address and port such as "127.0.0.1:9180" or "[::]:9180"', _listen)
host_name = matching("a host name", r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?", 253)


@dataclass(frozen=True, slots=True)
class HttpTable:
    """The status page and the API on TCP. Nobody listens unless `listen` says so."""

    layer: Layer
    listen: tuple[Endpoint, ...] = key(
        many(listen, 'an "ADDRESS:PORT" or a list of them'),
        "where to listen: `ADDRESS:PORT` or a list; port 0 is any that is free, and the log says which",
        (),
        shown="[]",
    )
    cert_file: str | None = key(
        path, "PEM file of the certificate; needed unless the address is one of loopback", file="read"
    )
    key_file: str | None = key(path, "PEM file of its key, if it is not in cert_file", file="read")
    tokens: str | None = key(path, "file of those who may ask: lines `NAME TOKEN [write]`", file="read")
    write: bool = key(flag, "whether those whose token says `write` may change anything", False, shown="false")
    anonymous: bool = key(flag, "whether anybody may read without a token", False, shown="false")
    names: tuple[str, ...] = key(
        many(host_name, "a host name or a list of them"),
        "host names that it is asked by, as through a proxy; addresses, `localhost` and the machine's name are known",
        (),
        shown="[]",
    )


def read_http(table: HttpTable, report: Report) -> HttpSettings:
    """What [http] says, with the tokens of its file; what does not fit is reported."""
    for name, why in _misfits(table):
        report.error(table.layer.where(name), f"{name}: {why}", on_key=name in table.layer.values)
    tokens = _tokens(table, report) if report.strict_files and table.listen else ()
    return HttpSettings(
        listen=tuple((str(one.address), one.port or 0) for one in table.listen),
        cert_file=Path(table.cert_file) if table.cert_file else None,
        key_file=Path(table.key_file) if table.key_file else None,
        tokens=tokens,
        write=table.write,
        anonymous=table.anonymous,
        names=frozenset(name.lower() for name in table.names),
    )


def _misfits(table: HttpTable) -> Iterator[tuple[str, str]]:
    """Keys that do not go together, each with why and what to do."""
    given, bad = table.layer.values, table.layer.bad
    if not table.listen:
        if "listen" not in bad | given.keys():
            yield from ((name, "only with key 'listen'") for name in given)
        return
    if table.key_file and not table.cert_file and "cert_file" not in bad:
        yield "key_file", "needs key 'cert_file'"
    for one in table.listen if not table.cert_file and "cert_file" not in bad else ():
        if not one.address.is_loopback:
            remedy = "give 'cert_file', or listen on 127.0.0.1 behind a proxy that speaks TLS"
            yield (
                "listen",
                f"{one.address} can be reached from elsewhere, where tokens must not go in the clear: {remedy}",
            )
    if not table.tokens and not table.anonymous and not bad & {"tokens", "anonymous"}:
        yield "listen", "nobody could ask anything: give 'tokens', or 'anonymous = true' where everybody may read"
    if table.write and not table.tokens and "tokens" not in bad:
        yield "write", "needs key 'tokens': nobody writes without a name"


def _tokens(table: HttpTable, report: Report) -> tuple[Token, ...]:
    """The tokens; whatever is wrong with the files that the table names is reported."""
    for name, one in keys_of(HttpTable).items():
        named = getattr(table, name)
        why = unusable(named, one.file) if one.file and named else ""
        if why:
            report.error(table.layer.where(name), f"{name}: {why}")
    tls = Tls(cert_file=table.cert_file, key_file=table.key_file) if table.cert_file else None
    if tls and not report.failed and (unfit := unfit_certificate(tls)):
        report.error(table.layer.where(unfit[0]), f"{unfit[0]}: {unfit[1]}")
    if table.tokens is None or unusable(table.tokens, "read"):
        return ()
    try:
        return read_tokens(Path(table.tokens))
    except (OSError, ValueError) as error:
        report.error(table.layer.where("tokens"), f"tokens: {error}")
        return ()


def read_tokens(file: Path) -> tuple[Token, ...]:
    """Those who may ask over TCP. Raises OSError; ValueError with file, line and what is wrong, never with a token."""
    with file.open("rb") as opened:
        mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
        if mode & (WORLD | GROUP_WRITES):
            raise ValueError(f"{file} has mode {mode:04o}: others can use it; chmod 0640 {file}")
        lines = opened.read().decode(errors="replace").splitlines()
    found: dict[str, Token] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            token = _token(words, line)
            if token.name in found:
                raise ValueError(f"a second line of {token.name}")
        except ValueError as error:
            raise ValueError(f"{file}:{number}: {error}") from None
        found[token.name] = token
    return tuple(found.values())


def _token(words: list[str], line: str) -> Token:
    if len(line) > LONGEST_LINE or not 2 <= len(words) <= 3 or words[2:] not in ([], ["write"]):
        raise ValueError("expected NAME TOKEN, or NAME TOKEN write")
    name, secret = words[:2]
    if not _NAME.fullmatch(name) or name == ALL_OURS:
        raise ValueError(f"expected a name of letters, digits and . _ @ -, and not '{ALL_OURS}'")
    digest = _DIGEST.fullmatch(secret)
    if digest:
        return Token(name, bytes.fromhex(digest[1]), len(words) == 3)
    if secret.startswith("sha256:"):
        raise ValueError("expected 64 digits of 0-9a-f after sha256:")
    if len(secret) < SHORTEST_TOKEN or not all("!" <= letter <= "~" for letter in secret):
        raise ValueError(f"the token needs {SHORTEST_TOKEN} or more letters, digits and marks of ASCII")
    return Token(name, sha256(secret.encode()).digest(), len(words) == 3)
