"""healthd(8): every command with its options, from what parses them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import roff
from commands import Command, Option, Positional

from healthd import __version__

ABOUT = """\
healthd keeps the table of the Linux Virtual Server (IPVS) true. It asks every real server whether it can serve, decides
from the answers which weight each should have, and writes that into the kernel's table. It is configured in
`/etc/healthd/healthd.toml`, see `healthd.toml(5)`, or by an `ldirectord.cf` as it is.

`healthd run` is the daemon; under systemd it is `healthd.service`. The other commands ask it, or look at the
configuration and at servers by themselves.

A program of the name `ldirectord` that is a link to healthd is the command of that name alone.
"""
EXITS = {
    "0": "all is well, or was done",
    "1": "refused by the daemon, or the service that was asked for is not there",
    "2": "words that mean nothing; `plan`: there is something to change; `probe`: a server failed; `doctor`: a finding",
    "3": "`probe`: a server could not be asked",
    "66": "there is no service or server of that name",
    "69": "no daemon answers, or what is needed cannot be had: the table, the control socket",
    "70": "a fault of healthd's own; the log has the traceback",
    "78": "the configuration is not in order",
    "130, 141": "ended by Ctrl-C, or by a pipe that was closed",
}
ENVIRONMENT = {
    "HEALTHD_CONFIG": "the configuration, where `-c` does not say it",
    "HEALTHD_SOCKET": "the control socket, where `-s` does not say it",
    "HEALTHD_LOCKS": "the folder of the lock files, where `--locks` does not say it",
    "HEALTHD_RUN": "the folder of pid files and control sockets of `healthd ldirectord`",
}
SIGNALS = {
    "SIGHUP": "read the configuration again, as `healthd reload` has it done",
    "SIGTERM, SIGINT": "stop in an orderly way, as `on_stop` says; a second one ends the daemon at once",
}
FILES = {
    "/etc/healthd/healthd.toml": "settings of the daemon, and what services inherit",
    "/etc/healthd/services.d/*.toml": "services",
    "/run/healthd/control.sock": "the control socket",
    "/var/lib/healthd/state.db": "what operators have asked for, and what happened",
    "/usr/share/healthd/healthd.schema.json": "the JSON schema of the configuration, for editors",
}


def page(commands: Sequence[Command]) -> str:
    """The whole page."""
    return roff.page(_parts(commands))


def _parts(commands: Sequence[Command]) -> Iterator[str]:
    yield roff.head("HEALTHD", 8, __version__, "System administration")
    yield from (roff.section("NAME"), "healthd \\- health checks and weights for the Linux Virtual Server")
    yield from (roff.section("SYNOPSIS"), f"{roff.bold('healthd')} {roff.italic('COMMAND')} [{roff.italic('...')}]")
    yield from (".br", roff.bold("healthd --version"))
    yield from (roff.section("DESCRIPTION"), *roff.paragraphs(ABOUT))
    yield roff.section("COMMANDS")
    for command in commands:
        yield from _command(command)
    for title, told in (("EXIT STATUS", EXITS), ("ENVIRONMENT", ENVIRONMENT), ("SIGNALS", SIGNALS), ("FILES", FILES)):
        yield roff.section(title)
        yield from (roff.item(roff.bold(term), text) for term, text in told.items())
    yield roff.section("SEE ALSO")
    yield "\\fBhealthd.toml\\fR(5), \\fBipvsadm\\fR(8), \\fBjournalctl\\fR(1), \\fBsystemctl\\fR(1)"


def _command(command: Command) -> Iterator[str]:
    yield roff.subsection(f"healthd {command.name}")
    yield f"{roff.bold(f'healthd {command.name}')} {_usage(command.usage)}"
    yield f".PP\n{roff.prose(command.summary[0].upper() + command.summary[1:])}."
    for positional in command.positionals:
        yield roff.item(roff.italic(positional.name), _meaning(positional))
    for option in command.options:
        yield roff.item(_names(option), option.help)


def _meaning(one: Positional) -> str:
    """Its help, with the words it may be."""
    words = one.offered if isinstance(one.offered, tuple) else ()
    return one.help + (f": {', '.join(f'`{word}`' for word in words)}" if words else "")


def _usage(usage: str) -> str:
    """Words in capitals or without a dash are to be replaced; the rest stands as it is."""
    return re.sub(r"\S+", lambda word: roff.plain(word[0]), usage)


def _names(option: Option) -> str:
    names = ", ".join(map(roff.bold, option.names))
    return f"{names} {roff.italic(option.value)}" if option.value else names
