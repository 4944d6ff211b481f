"""What the rig is asked to run, as values."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
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

    def script(self, **extra: str) -> str:
        """The command as a shell script of its own, with more variables."""
        exports = {**self.environment, **extra}.items()
        lines = [f"export {name}={shlex.quote(value)}" for name, value in exports]
        return "\n".join([*lines, f"cd {shlex.quote(str(self.directory))} || exit 126", self.line, ""])
