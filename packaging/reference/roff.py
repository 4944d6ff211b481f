"""Text as a man page says it: man(7) macros, for groff and mandoc."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_CODE = re.compile(r"`([^`]+)`")
_LETTERS = str.maketrans({"\\": "\\e", "-": "\\-", "'": "\\(aq", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga"})
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def head(name: str, section: int, version: str, what: str) -> str:
    """The first line of a page."""
    return f'.\\" Made by packaging/reference; do not edit.\n.TH {name} {section} "" "healthd {version}" "{what}"'


def plain(text: str) -> str:
    """Letters that stand for themselves."""
    text = text.translate(_LETTERS)
    return "\n".join(f"\\&{line}" if line.startswith(".") else line for line in text.split("\n"))


def prose(text: str) -> str:
    """A paragraph of Markdown: `code` in bold, links as their words; a line for each sentence's end is not needed."""
    words = _CODE.split(_LINK.sub(r"\1", " ".join(text.split())))
    return "".join(f"\\fB{plain(word)}\\fR" if number % 2 else plain(word) for number, word in enumerate(words))


def bold(text: str) -> str:
    """Words to type."""
    return f"\\fB{plain(text)}\\fR"


def italic(text: str) -> str:
    """Words to replace."""
    return f"\\fI{plain(text)}\\fR"


def section(title: str) -> str:
    """A heading."""
    return f'.SH "{plain(title)}"'


def subsection(title: str) -> str:
    """A smaller heading."""
    return '.SS "' + plain(title).replace('"', "\\(dq") + '"'


def item(term: str, text: str) -> str:
    """A term, already formatted, and what it is."""
    return f".TP\n{term}\n{prose(text)}"


def paragraphs(text: str) -> Iterator[str]:
    """A docstring: paragraphs, and blocks that are indented as they are."""
    for number, block in enumerate(re.split(r"\n\s*\n", text.strip("\n"))):
        if block.startswith("    "):
            yield example(block)
        else:
            yield f".PP\n{prose(block)}" if number else prose(block)


def example(text: str) -> str:
    """Lines as they are."""
    lines = text.strip("\n").split("\n")
    indent = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
    return ".PP\n.RS 4\n.nf\n" + "\n".join(plain(line[indent:]) for line in lines) + "\n.fi\n.RE"


def page(parts: Iterable[str]) -> str:
    """All of it."""
    return "\n".join(parts) + "\n"
