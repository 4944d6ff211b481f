"""The commands as values, read from what parses them: for man pages and completion."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from enum import Enum
from importlib import import_module

from healthd.cli import COMMANDS, LDIRECTORD
from healthd.commands.ldirectord import HELP as HELP_OF_LDIRECTORD


class Value(Enum):
    """What a shell can offer for a word."""

    ANYTHING = "anything"
    FILE = "file"
    FOLDER = "folder"
    SERVICE = "a service of the running daemon"
    NAME = "a service, server or host of the running daemon"
    SERVER = "a server or host of the service before it"


OF_POSITIONAL = {
    "service": Value.SERVICE,
    "name": Value.NAME,
    "real": Value.SERVER,
    "server": Value.SERVER,
    "file": Value.FILE,
}
OF_METAVAR = {"PATH": Value.FILE, "FILE": Value.FILE, "DIR": Value.FOLDER}
ACTIONS_OF_LDIRECTORD = ("start", "stop", "restart", "try-restart", "reload", "force-reload", "status")
CHOICES_OF_LDIRECTORD = {"--table": ("kernel", "memory")}


@dataclass(frozen=True, slots=True)
class Option:
    """An option. value: what follows it, by name; empty if nothing does."""

    names: tuple[str, ...]
    help: str
    value: str = ""
    offered: Value | tuple[str, ...] = Value.ANYTHING


@dataclass(frozen=True, slots=True)
class Positional:
    """A word that is no option. repeated: any number of them."""

    name: str
    help: str
    offered: Value | tuple[str, ...] = Value.ANYTHING
    required: bool = True
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """healthd NAME. usage: the words behind it."""

    name: str
    summary: str
    usage: str
    options: tuple[Option, ...]
    positionals: tuple[Positional, ...]


def all_commands() -> tuple[Command, ...]:
    """Every command, in the order in which `healthd --help` has them."""
    return tuple(_ldirectord() if name == LDIRECTORD else _command(name) for name in COMMANDS)


def _command(name: str) -> Command:
    parser = argparse.ArgumentParser(prog=f"healthd {name}", formatter_class=_Unwrapped)
    import_module(f"healthd.commands.{name.replace('-', '_')}").add(parser)
    actions = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    return Command(
        name,
        COMMANDS[name],
        _usage(parser),
        tuple(_option(action) for action in actions if action.option_strings),
        tuple(_positional(action) for action in actions if not action.option_strings),
    )


class _Unwrapped(argparse.HelpFormatter):
    """On one line, however long."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=10_000)


def _usage(parser: argparse.ArgumentParser) -> str:
    return parser.format_usage().removeprefix(f"usage: {parser.prog} ").strip()


def _option(action: argparse.Action) -> Option:
    value = "" if action.nargs == 0 else action.metavar or "|".join(action.choices or ()) or action.dest.upper()
    offered = tuple(map(str, action.choices)) if action.choices else OF_METAVAR.get(str(value), Value.ANYTHING)
    return Option(tuple(action.option_strings), _help(action), str(value), offered)


def _positional(action: argparse.Action) -> Positional:
    offered = tuple(map(str, action.choices)) if action.choices else OF_POSITIONAL.get(action.dest, Value.ANYTHING)
    name = str(action.metavar or action.dest)
    return Positional(name, _help(action), offered, action.nargs not in ("?", "*"), action.nargs in ("*", "+"))


def _help(action: argparse.Action) -> str:
    text = (action.help or "") % {**vars(action), "prog": "healthd"}
    return "show this help and exit" if isinstance(action, argparse._HelpAction) else text


def _ldirectord() -> Command:
    """The command that reads its words as ldirectord does; what it says of them is its help."""
    found = re.findall(r"^    ((?:-\S+, )*--[\w-]+)(?: ([A-Z]+))?  +(.*)$", HELP_OF_LDIRECTORD, re.MULTILINE)
    options = tuple(_option_of_ldirectord(names.split(", "), value, text) for names, value, text in found)
    places = (
        Positional("configfile", "below /etc/ha.d, below /etc/ha.d/conf, or as it is", Value.FILE, required=False),
        Positional("action", "what to do", ACTIONS_OF_LDIRECTORD),
    )
    return Command(LDIRECTORD, COMMANDS[LDIRECTORD], "[option ...] [--] [configfile] action", options, places)


def _option_of_ldirectord(names: list[str], value: str, text: str) -> Option:
    offered = CHOICES_OF_LDIRECTORD.get(names[-1]) or OF_METAVAR.get(value, Value.ANYTHING)
    return Option(tuple(names), text, value, offered)
