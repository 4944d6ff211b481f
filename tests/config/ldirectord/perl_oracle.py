"""Asks the installed Perl what it makes of a pattern, through perl_answers.pl."""

import subprocess
from pathlib import Path

DRIVER = Path(__file__).with_name("perl_answers.pl")


class Perl:
    """One Perl process for any number of questions."""

    def __init__(self, program="perl"):
        self._process = subprocess.Popen(
            [program, DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def spans(self, pattern, subjects):
        """Where a pattern matches in each of the subjects, None where it does not; "refused" if Perl does not take it.

        Pattern and subjects are bytes.
        """
        line = b" ".join(b"." + part.hex().encode() for part in (pattern, *subjects))
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().decode().split()
        if answer[:1] == ["refused"]:
            return "refused"
        assert len(answer) == len(subjects), (pattern, answer)
        return [None if word == "none" else tuple(map(int, word.split("-"))) for word in answer]

    def close(self):
        """Ends the process, which leaves when its input does."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(20)
