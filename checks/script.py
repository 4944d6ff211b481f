"""script: any program decides.

It is called as `CMD VIP|MARK VPORT RIP RPORT`, with IPv6 addresses in brackets and port 0 beside a mark, so that the
external scripts of ldirectord run unchanged. The same, and where the probe goes, is in HEALTHD_* variables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from string import Formatter
from typing import ClassVar, Literal

from checks.rules import between, number_list, numbers, one_line
from healthd.check import (
    REQUIRED,
    Binding,
    CheckFailed,
    Conversation,
    Inconclusive,
    Passed,
    Ran,
    Reason,
    Run,
    Target,
    address_text,
    option,
    shown,
)

DEFAULT_ARGS = ("{virtual}", "{virtual_port}", "{address}", "{port}")
ARGS_DOC = (
    "its arguments; {virtual} (address or mark), {virtual_port}, {address} (of the real server), {host} (the same "
    "without brackets), {port} and {service} are filled in"
)
_PLACES = frozenset(("service", "virtual", "virtual_port", "address", "host", "port"))
_WEIGHT = re.compile(r"(?:^|\s)weight=(-?\d+)(?=\s|$)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def command_rule(text: str) -> str:
    """The absolute path of a file."""
    if not text.startswith("/"):
        raise ValueError(f"must be an absolute path (one that begins with '/'), got {text!r}")
    return _no_null(text)


def _no_null(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a zero byte")
    return text


def args_rule(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Arguments whose places in braces are known ones."""
    for text in texts:
        for name in _places(_no_null(text)):
            if name not in _PLACES:
                known = ", ".join(f"{{{place}}}" for place in sorted(_PLACES))
                raise ValueError(f"{{{name}}} in {text!r} is not one of {known}; a brace itself is written twice")
    return texts


def _places(text: str) -> list[str]:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{error} in {text!r}; a brace itself is written twice") from None
    return [
        name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
        for _, name, spec, conversion in parts
        if name is not None
    ]


def env_rule(table: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Variables that are not healthd's own."""
    for name, value in table:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a variable")
        if name.startswith("HEALTHD_"):
            raise ValueError(f"{name}: names that begin with HEALTHD_ are set by healthd")
        _no_null(value)
    return table


def user_rule(text: str | None) -> str | None:
    """The name of a user."""
    if text == "":
        raise ValueError("must not be empty")
    return one_line(text)


@dataclass(frozen=True, slots=True)
class ScriptCheck:
    """A program that exits with 0 to pass. Its output's last line becomes the detail.

    It runs without a shell in the runner process; at the deadline its whole process group is killed, which fails the
    server. A program that cannot be started is our fault and fails nobody. With `weight = "exit-code"`, 0 passes with
    the configured weight, 1 fails, and 2 to 255 pass with weight 0 to 253; with `weight = "output"` the last line may
    say `weight=N` (0 to 65535).
    """

    kind: ClassVar[str] = "script"
    needs_port: ClassVar[bool] = False

    command: str = option(REQUIRED, "path of the program", rule=command_rule, file="execute")
    args: tuple[str, ...] = option(
        DEFAULT_ARGS,
        ARGS_DOC,
        rule=args_rule,
    )
    env: tuple[tuple[str, str], ...] = option((), "variables to set besides the HEALTHD_* ones", rule=env_rule)
    user: str | None = option(None, "user to run it as; default: the runner's", rule=user_rule)
    pass_codes: tuple[str, ...] = option(("0",), 'exit codes that pass ("0", "0-3")', rule=number_list(0, 255))
    inconclusive_codes: tuple[str, ...] = option(
        (), "exit codes that say nothing about the server", rule=number_list(0, 255, empty=True)
    )
    weight: Literal["configured", "exit-code", "output"] = option("configured", "where the server's weight comes from")
    output_limit: int = option(4096, "bytes of output to keep, the last ones", rule=between(0, 1024 * 1024))

    _passing: frozenset[int] = field(init=False, repr=False, compare=False)
    _doubtful: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare the sets of codes."""
        passing, doubtful = numbers(self.pass_codes, 0, 255), numbers(self.inconclusive_codes, 0, 255)
        if self.weight == "exit-code":
            if passing != {0}:
                raise ValueError('pass_codes and weight = "exit-code" exclude each other')
            passing = frozenset({0, *range(2, 256)}) - doubtful
        if both := passing & doubtful:
            raise ValueError(f"pass_codes and inconclusive_codes both name {min(both)}")
        object.__setattr__(self, "_passing", passing)
        object.__setattr__(self, "_doubtful", doubtful)

    def bound(self, binding: Binding) -> BoundScript:
        """The check for one row."""
        return BoundScript(self, binding)

    def converse(self, target: Target) -> Conversation:
        """Ask about a server that belongs to no service: it stands for the virtual one too."""
        address = address_text(target.address)
        return self.bound(Binding("", address, target.port, target.address, target.port)).converse(target)

    def judge(self, ran: Ran) -> str | Passed:
        """What a run says: a detail to pass. Raises CheckFailed or Inconclusive."""
        last = _last_line(ran.output)
        if ran.status in self._doubtful:
            raise Inconclusive(_with(f"exit code {ran.status}", last))
        if ran.status not in self._passing:
            raise CheckFailed(Reason.UNEXPECTED, _with(_ending(ran.status), last))
        weight = self._weight(ran.status, last)
        detail = last or f"exit code {ran.status}"
        return detail if weight is None else Passed(detail, weight)

    def _weight(self, status: int, last: str) -> int | None:
        if self.weight == "exit-code":
            return status - 2 if status else None
        match = _WEIGHT.search(last) if self.weight == "output" else None
        if match is None:
            return None
        if not 0 <= int(match[1]) <= 65535:
            raise Inconclusive(f"weight={match[1]} is not 0 to 65535")
        return int(match[1])


@dataclass(frozen=True, slots=True)
class BoundScript:
    """A script check for one row."""

    kind: ClassVar[str] = "script"
    needs_port: ClassVar[bool] = False

    check: ScriptCheck
    binding: Binding

    def converse(self, target: Target) -> Conversation:
        """Run the program and judge how it ends."""
        check = self.check
        ran: Ran = yield Run(
            argv=(check.command, *(text.format_map(self._words()) for text in check.args)),
            env=(*check.env, *self._variables(target)),
            user=check.user,
            netns=target.netns,
            output_limit=check.output_limit,
        )
        return check.judge(ran)

    def _words(self) -> dict[str, str]:
        binding = self.binding
        return {
            "service": binding.service,
            "virtual": _bracketed(binding.virtual),
            "virtual_port": str(binding.virtual_port),
            "address": address_text(binding.address),
            "host": str(binding.address),
            "port": str(binding.port),
        }

    def _variables(self, target: Target) -> list[tuple[str, str]]:
        binding = self.binding
        known = {
            "SERVICE": binding.service,
            "VIRTUAL": binding.virtual.strip("[]"),
            "VIRTUAL_PORT": binding.virtual_port,
            "ADDRESS": binding.address,
            "PORT": binding.port,
            "TARGET_ADDRESS": target.address,
            "TARGET_PORT": target.port,
            "SOURCE": target.source,
            "INTERFACE": target.interface,
            "MARK": target.mark,
        }
        return [(f"HEALTHD_{name}", str(value)) for name, value in known.items() if value is not None]


def _bracketed(virtual: str) -> str:
    return f"[{virtual}]" if ":" in virtual and not virtual.startswith("[") else virtual


def _last_line(output: bytes) -> str:
    lines = output.split(b"\n")
    return next((shown(line.strip(), 200) for line in reversed(lines) if line.strip()), "")


def _ending(status: int) -> str:
    return f"exit code {status}" if status >= 0 else f"killed by signal {-status}"


def _with(what: str, last: str) -> str:
    return f"{what}: {last}" if last else what
