"""Shells at a terminal of their own: what a line becomes when somebody presses Tab."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SHARE = Path(__file__).parents[2] / "packaging" / "share"
BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")
PATIENCE = 20.0
READY = "is-ready"

BASH = f"""\
PS1=; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'
source {BASH_COMPLETION}; source {SHARE}/bash-completion/completions/healthd
"""
ZSH = f"""\
PS1=; RPS1=; unsetopt zle_bracketed_paste beep prompt_sp; bindkey -e
fpath=({SHARE}/zsh/site-functions $fpath); autoload -U compinit; compinit -u -D
"""


class Terminal:
    """A shell at a terminal. begin: what it is told first."""

    def __init__(self, argv: Sequence[str], begin: str, environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        self._seen = ""
        self._shell = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=dict(environment), start_new_session=True
        )
        os.close(slave)
        self._type(f"stty -echo\n{begin}echo {READY[:3]}''{READY[3:]}\n")
        self.wait_for(READY)

    def words(self, line: str) -> list[str]:
        """What the shell takes the line for once its last word was completed."""
        self._seen = ""
        self._type(f"{line}\t\x01printf '<%s>' \x05 '=end='\n")
        seen = self.wait_for("<=end=>")  # with the line as it was typed and redrawn before what was printed
        return re.findall(r"<([^<>]*)>", seen[seen.rindex("<healthd>") :])[:-1]

    def wait_for(self, text: str) -> str:
        """All that was written since the last line, once this is in it."""
        until = time.monotonic() + PATIENCE
        while text not in self._seen:
            assert time.monotonic() < until, f"no {text!r} in {self._seen!r}"
            if select.select([self._master], [], [], 0.2)[0]:
                self._seen += os.read(self._master, 65536).decode(errors="replace")
        return self._seen

    def close(self) -> None:
        """End the shell."""
        self._shell.kill()
        self._shell.wait()
        os.close(self._master)

    def _type(self, text: str) -> None:
        os.write(self._master, text.encode())


def bash(environment: Mapping[str, str]) -> Terminal:
    """An interactive bash with our completion."""
    return Terminal(["bash", "--norc", "--noprofile", "-i"], BASH, environment)


def zsh(environment: Mapping[str, str]) -> Terminal:
    """An interactive zsh with our completion."""
    return Terminal(["zsh", "-f", "-i"], ZSH, environment)


class Fish:
    """fish answers what it would offer without a terminal."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def words(self, line: str) -> list[str]:
        """The line's words, the last of them completed if there is one way to do it."""
        script = f"source {SHARE}/fish/vendor_completions.d/healthd.fish; complete -C $argv[1]"
        told = subprocess.run(
            ["fish", "--no-config", "-c", script, line],
            env=dict(self._environment),
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
        offered = [one.partition("\t")[0].replace("\\ ", " ") for one in told.stdout.splitlines()]
        *before, last = line.split(" ")
        return [*before, offered[0] if len(offered) == 1 else last]

    def close(self) -> None:
        """Nothing runs."""
