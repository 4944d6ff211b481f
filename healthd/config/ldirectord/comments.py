"""Comments of an ldirectord.cf, each with the line that it belongs to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from healthd.config.ldirectord.lines import VIRTUAL, uncommented


@dataclass(slots=True)
class Comments:
    """of_file: those before and on global directives, and at the end. of_line: those before and on a line of a virtual.

    lines: for the line of each virtual, those of its lines that have any.
    """

    of_file: list[str] = field(default_factory=list)
    of_line: dict[int, list[str]] = field(default_factory=dict)
    lines: dict[int, list[int]] = field(default_factory=dict)

    def of_virtual(self, line: int, but: Collection[int]) -> Iterator[str]:
        """Comments of a virtual service, but not those of some of its lines."""
        for number in self.lines.get(line, ()):
            if number not in but:
                yield from self.of_line[number]


def comments(text: str) -> Comments:
    """All comments of a file. One that stands alone belongs to the line that follows it."""
    found, waiting, virtual = Comments(), list[str](), 0
    for number, line in enumerate(text.removeprefix("\ufeff").replace("\r", "").split("\n"), 1):
        stripped = line.strip()
        if not stripped:
            waiting += [""] if waiting and waiting[-1] else []  # paragraphs stay paragraphs
            continue
        if stripped.startswith("#"):
            waiting.append(_bare(stripped))
            continue
        if VIRTUAL.match(stripped):
            virtual = number
        elif not line[0].isspace():
            virtual = 0
        said = uncommented(line)
        mine = [
            *(waiting[:-1] if waiting and not waiting[-1] else waiting),
            *([_bare(line[len(said) :].strip())] if len(said) < len(line.rstrip()) else []),
        ]
        waiting = []
        if virtual:
            found.of_line[number] = mine
            found.lines.setdefault(virtual, []).append(number)
        else:
            found.of_file += mine
    found.of_file += waiting
    return found


def _bare(comment: str) -> str:
    return comment.removeprefix("#").removeprefix(" ").rstrip()
