"""docs/tutorial.md, word by word: every command is run as it stands and does what the page says.

Before each block a comment says what becomes of it: `run`, with words that it must print; `fails`, with words of its
complaint; `until`, with words that come after a while; `file`, with its name.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"<!-- (run|fails|until|file)(?:: ?| )?([^\n]*?) -->\n```\w+\n(.*?)```", re.DOTALL)
PATIENCE = 30.0


class Shell:
    """One shell for the whole page: what is exported stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        program = bin_folder / "healthd"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m healthd "$@"\n')
        program.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "HEALTHD_LOCKS": str(folder)}

    def run(self, text: str) -> tuple[int, str]:
        """The exit code of the last command and what all of them printed."""
        said = self.folder / "said"
        script = f"set -e\n{text}env > {self.folder}/environment\n"
        with said.open("wb") as output:
            command = ["/bin/bash", "-c", script]
            options = {"cwd": self.folder, "env": self.environment, "stdin": subprocess.DEVNULL}
            ended = subprocess.run(command, stdout=output, stderr=output, timeout=60, check=False, **options)
        if ended.returncode == 0:
            lines = (self.folder / "environment").read_text().splitlines()
            self.environment |= dict(line.split("=", 1) for line in lines if line.startswith("HEALTHD_"))
        return ended.returncode, said.read_text()

    def end(self) -> None:
        """End what the page has started and did not end, by the numbers it has noted."""
        for name in ("healthd.pid", "one.pid", "two.pid", "receiver.pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int((self.folder / name).read_text()), signal.SIGKILL)


def free(text: str) -> str:
    """The page with ports that are free."""
    for port in ("8081", "8082", "8083"):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            text = text.replace(port, str(listener.getsockname()[1]))
    return text


def holds(words: str, said: str) -> bool:
    """Whether all of this was printed; `2 up` means two servers that are up."""
    if words == "2 up":
        return len(re.findall(r"\) +up ", said)) == 2
    return all(word in said for word in words.split("; "))


@pytest.fixture
def shell(tmp_path: Path):
    made = Shell(tmp_path)
    yield made
    made.end()


def test_every_command_of_the_tutorial_does_what_the_page_says(shell: Shell):
    text = free(PAGE.read_text())
    assert text.count("```") == 2 * len(BLOCK.findall(text)), "a block without a word on what becomes of it"
    for what, words, block in BLOCK.findall(text):
        match what:
            case "file":
                (shell.folder / words).write_text(block)
            case "until":
                _until(shell, words, block)
            case _:
                code, said = shell.run(block)
                assert (code != 0) is (what == "fails"), f"{block}\n{said}"
                assert holds(words, said), f"{block}\n{said}"


def _until(shell: Shell, words: str, block: str) -> None:
    """The page says that something comes after a while."""
    end = time.monotonic() + PATIENCE
    while True:
        _, said = shell.run(block)
        if holds(words, said):
            return
        assert time.monotonic() < end, f"{words!r} has not come: {said}"
        time.sleep(0.2)
