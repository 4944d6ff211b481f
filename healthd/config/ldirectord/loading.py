"""From the bytes of an ldirectord.cf to sources of configuration: its own, and those of files that it executes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from healthd.config.decode import Report
from healthd.config.ldirectord.listing import Listing
from healthd.config.ldirectord.names import Machine, ThisMachine
from healthd.config.ldirectord.planting import Tree
from healthd.config.ldirectord.reading import read_stock
from healthd.config.ldirectord.tree import tree_of
from healthd.config.ldirectord.values import Globals, Real, Stock, Virtual
from healthd.config.problems import Problem, Severity, Span
from healthd.config.source import read_bytes

Receiving = TypeVar("Receiving", Virtual, Real)
FOLDERS = (Path("/etc/ha.d"), Path("/etc/ha.d/conf"))
"""Where ldirectord looks for configurations, before the place where it was started."""


def sources(
    file: Path, data: bytes, report: Report, *, strict: bool = False, running: Collection[str] = ()
) -> tuple[Listing, ...]:
    """The file as a source with our tables, and one for each file that it executes; nothing if there is an error.

    running: the files of the configuration that is in force. One to execute that cannot be found is an error if it is
    among them, for its services would go; else the rest does without it, as with ldirectord.
    """
    return _Walk(report, ThisMachine(), running, strict=strict).all(file, data)


def text_of(name: str, data: bytes) -> tuple[str, Problem | None]:
    """The text of a file; what is not UTF-8 is taken for Latin-1, with a warning."""
    try:
        return data.decode(), None
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        told = "not UTF-8 text, so it is taken for Latin-1; servers are sent UTF-8, but receive is as in the file"
        return data.decode("latin-1"), Problem(Severity.WARNING, told, name, Span(number, 1))


def _bytewise(stock: Stock) -> Stock:
    """A file that is not UTF-8, with `receive` as the bytes of the file, which are looked for in those of servers."""
    virtuals = (
        replace(_received(virtual), real=tuple(_received(real) for real in virtual.real)) for virtual in stock.virtuals
    )
    return replace(stock, virtuals=tuple(virtuals))


def _received(one: Receiving) -> Receiving:
    return replace(one, receive=one.receive.encode("latin-1").decode(errors="surrogateescape"))


class _Walk:
    """A walk over a file and those that it executes."""

    def __init__(self, report: Report, machine: Machine, running: Collection[str], *, strict: bool) -> None:
        self.report = report
        self.machine = machine
        self.running = running
        self.strict = strict
        self.seen: set[Path] = set()
        self.found: list[Listing] = []
        self.failed = False

    def all(self, file: Path, data: bytes) -> tuple[Listing, ...]:
        self.take(file, data, None)
        return () if self.failed else tuple(self.found)

    def take(self, file: Path, data: bytes, main: Globals | None) -> None:
        """One file, and then those that it executes."""
        self.seen.add(file.resolve())
        text, odd = text_of(str(file), data)
        listing = Listing(str(file), text, {})
        stock, problems = read_stock(listing, self.machine, strict=self.strict)
        for problem in [*problems, *([odd] if odd else [])]:
            self.report.unread(problem)
        if stock is None:
            self.failed = True
            return
        tree = tree_of(_bytewise(stock) if odd else stock, self.machine, main, strict=self.strict)
        listing.tree, listing.spans = tree.tables, tree.spans
        listing.quiet = tuple((note.span.line, note.text) for note in tree.notes if not note.loud)
        self.tell(listing, tree)
        self.found.append(listing)
        if main is not None:
            self.tell_unused(listing, stock, main)
        for name in stock.globals.execute:
            self.execute(listing, name, stock.globals.where[f"execute {name}"], file, main or stock.globals)

    def tell(self, listing: Listing, tree: Tree) -> None:
        """What the tables do not say as the file did."""
        for note in tree.notes:
            if note.loud:
                self.warn(listing, note.span, note.text)
        for refusal in tree.refusals:
            self.error(listing, refusal.span, refusal.text)

    def tell_unused(self, listing: Listing, stock: Stock, main: Globals) -> None:
        """What only the first file can say for the whole daemon, and says in another way."""
        for name in ("logfile", "autoreload", "callback", "supervised"):
            if name in stock.globals.where and getattr(stock.globals, name) != getattr(main, name):
                text = f"{name}: the file that executes this one says it for the whole daemon"
                self.warn(listing, stock.globals.where[name], text)

    def execute(self, listing: Listing, name: str, span: Span, file: Path, main: Globals) -> None:
        """Another file, whose services go into the same daemon."""
        wanted = name.strip().strip("\"'")  # ldirectord has a shell start the other one
        places = [folder / wanted for folder in (*FOLDERS, file.parent, Path())]
        other = next((place for place in places if self.there(place)), None)
        if other is None:
            self.absent(listing, span, wanted, places)
        elif other.resolve() in self.seen:
            self.warn(listing, span, f"execute: {wanted} is read already, so this line says nothing")
        else:
            data = read_bytes(other)
            if isinstance(data, Problem):
                self.error(listing, span, f"execute: {wanted}: {data.text}")
            else:
                self.take(other, data, main)

    def absent(self, listing: Listing, span: Span, wanted: str, places: list[Path]) -> None:
        """A file that is not there: its services are lost only if nobody has them yet."""
        if any(str(place) in self.running for place in places):
            text = "is part of the running configuration and cannot be found now: put it back, or remove this line"
            self.error(listing, span, f"execute: {wanted} {text}")
            return
        places_told = "below /etc/ha.d, below /etc/ha.d/conf, beside this file"
        text = f"cannot be found ({places_told}); the rest runs without it: make it and reload, or remove this line"
        self.warn(listing, span, f"execute: {wanted} {text}")

    def there(self, place: Path) -> bool:
        """Whether there is a file."""
        try:
            return place.is_file()
        except (OSError, ValueError):
            return False

    def warn(self, listing: Listing, span: Span, text: str) -> None:
        """Report what the rest can do without."""
        self.report.unread(listing.problem(Severity.WARNING, span, text))

    def error(self, listing: Listing, span: Span, text: str) -> None:
        """Report an error."""
        self.failed = True
        self.report.unread(listing.problem(Severity.ERROR, span, text))
