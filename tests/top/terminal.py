"""A program on a pseudo terminal, and its screen as a person sees it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyte
import pytest

PATIENCE = 30.0
OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


def command(folder: Path) -> tuple[str, ...]:
    """`healthd top` for the daemon of a folder."""
    return (sys.executable, "-m", "healthd", "top", "-s", str(folder / "control.sock"))


@contextlib.contextmanager
def terminals(folder: Path) -> Iterator[Callable[..., Terminal]]:
    """What starts that on a terminal; all of them are closed at the end."""
    running: list[Terminal] = []

    def top(**others: Any) -> Terminal:
        running.append(Terminal(*command(folder), **others))
        return running[-1]

    yield top
    for terminal in running:
        terminal.close()


class Terminal:
    """A terminal of its own for a command. term: as TERM has it; pyte is the better at `linux`."""

    def __init__(
        self, *command: str, height: int = 24, width: int = 80, term: str = "linux", **environment: str
    ) -> None:
        self._screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""
        self._master, slave = pty.openpty()
        self._size(height, width)
        self.modes = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWN_TERMINAL, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": term, **environment},
        )

    @property
    def text(self) -> str:
        """All lines of the screen."""
        return "\n".join(self.lines)

    @property
    def lines(self) -> list[str]:
        """The lines of the screen."""
        self._read(0)
        return [line.rstrip() for line in self._screen.display]

    def line(self, *words: str) -> str:
        """The first line with all these words; empty if there is none."""
        return next((line for line in self.lines if all(word in line for word in words)), "")

    def colours(self, at: int) -> set[str]:
        """Colours in a line of the screen."""
        return {letter.fg for letter in self._screen.buffer[at].values()}

    def is_marked(self, at: int) -> bool:
        """Whether a line is shown in reverse."""
        return self._screen.buffer[at][0].reverse

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def resize(self, height: int, width: int) -> None:
        """Make the window another size."""
        self._read(0)
        self._screen.resize(height, width)
        self._size(height, width)

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something is so on the screen."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self._read(0.05)
            if holds():
                return
        pytest.fail(f"{what}: not within {PATIENCE} s; the screen is:\n{self.text}")

    def sees(self, *words: str) -> None:
        """Wait until a line has all these words."""
        self.until(lambda: self.line(*words), f"a line with {words}")

    def ends(self) -> int:
        """Wait until the program has ended; its exit code."""
        self.until(lambda: self.process.poll() is not None, "its end")
        self._read(0.1)
        return int(self.process.returncode)

    def modes_now(self) -> list[object]:
        """The modes of the terminal."""
        return termios.tcgetattr(self._slave)

    def set_modes(self, modes: list[Any]) -> None:
        """Change the modes of the terminal, as a shell does that has it again."""
        termios.tcsetattr(self._slave, termios.TCSANOW, modes)

    def hang_up(self) -> None:
        """Take the terminal away."""
        os.close(self._slave)
        os.close(self._master)
        self._slave = self._master = -1

    def close(self) -> None:
        """End it, however it is."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self._master >= 0:
            self.hang_up()

    def _read(self, wait: float) -> None:
        while self._master >= 0 and select.select([self._master], [], [], wait)[0]:
            came = os.read(self._master, 65536)
            self.written += came
            self._stream.feed(came)
            wait = 0

    def _size(self, height: int, width: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
