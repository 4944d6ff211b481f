"""What the rig is asked to run, as values."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


class RigUnavailable(Exception):
    """The rig cannot run here; one sentence says why and what helps."""


class NothingToRun(Exception):
    """The tests asked for cannot even be read; the text is pytest's."""


@dataclass(frozen=True, slots=True)
class Command:
    """A shell line with its directory and environment. writable: directories whose files outlive the machine.

    timeout: seconds after which everything is killed.
    """

    line: str
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    writable: tuple[Path, ...] = ()
    timeout: float = 1200.0

    def slowed(self, factor: int) -> Command:
        """The same command, told how slow its place is, unless its environment says so already."""
        return replace(self, environment={"RIG_SLOW": str(factor), **self.environment})

    def script(self) -> str:
        """The command as a shell script of its own."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return "\n".join([*lines, f"cd {shlex.quote(str(self.directory))} || exit 126", self.line, ""])
