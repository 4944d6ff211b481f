"""From the bytes of an ldirectord.cf to sources of configuration: its own, and those of files that it executes."""

from __future__ import annotations

from pathlib import Path

from healthd.config.decode import Report
from healthd.config.ldirectord.listing import Listing
from healthd.config.ldirectord.names import Machine, ThisMachine
from healthd.config.ldirectord.planting import Tree
from healthd.config.ldirectord.reading import read_stock
from healthd.config.ldirectord.tree import tree_of
from healthd.config.ldirectord.values import Globals, Stock
from healthd.config.problems import Problem, Severity, Span
from healthd.config.source import read_bytes

FOLDERS = (Path("/etc/ha.d"), Path("/etc/ha.d/conf"))
"""Where ldirectord looks for configurations, before the place where it was started."""


def sources(
    file: Path, data: bytes, report: Report, *, strict: bool = False, machine: Machine | None = None
) -> tuple[Listing, ...]:
    """The file as a source with our tables, and one for each file that it executes; nothing if there is an error."""
    return _Walk(report, machine or ThisMachine(), strict=strict).all(file, data)


def text_of(name: str, data: bytes) -> tuple[str, Problem | None]:
    """The text of a file; what is not UTF-8 is taken for Latin-1, with a warning."""
    try:
        return data.decode(), None
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        problem = Problem(Severity.WARNING, "not UTF-8 text; all of it is taken for Latin-1", name, Span(number, 1))
        return data.decode("latin-1"), problem


class _Walk:
    """A walk over a file and those that it executes."""

    def __init__(self, report: Report, machine: Machine, *, strict: bool) -> None:
        self.report = report
        self.machine = machine
        self.strict = strict
        self.seen: dict[Path, str] = {}
        self.found: list[Listing] = []
        self.failed = False

    def all(self, file: Path, data: bytes) -> tuple[Listing, ...]:
        self.take(file, data, None)
        return () if self.failed else tuple(self.found)

    def take(self, file: Path, data: bytes, main: Globals | None) -> None:
        """One file, and then those that it executes."""
        self.seen[file.resolve()] = str(file)
        text, odd = text_of(str(file), data)
        listing = Listing(str(file), text, {})
        stock, problems = read_stock(listing, self.machine, strict=self.strict)
        for problem in [*problems, *([odd] if odd else [])]:
            self.report.unread(problem)
        if stock is None:
            self.failed = True
            return
        tree = tree_of(stock, self.machine, main, strict=self.strict)
        listing.tree, listing.spans = tree.tables, tree.spans
        listing.quiet = tuple((note.span.line, note.text) for note in tree.notes if not note.loud)
        self.tell(listing, tree)
        self.found.append(listing)
        if main is not None:
            self.tell_unused(listing, stock)
        for name in stock.globals.execute:
            self.execute(listing, name, stock.globals.where[f"execute {name}"], file, main or stock.globals)

    def tell(self, listing: Listing, tree: Tree) -> None:
        """What the tables do not say as the file did."""
        for note in tree.notes:
            if note.loud:
                self.report.unread(listing.problem(Severity.WARNING, note.span, note.text))
        for refusal in tree.refusals:
            self.failed = True
            self.report.unread(listing.problem(Severity.ERROR, refusal.span, refusal.text))

    def tell_unused(self, listing: Listing, stock: Stock) -> None:
        """What only the first file can say for the whole daemon."""
        for name in ("logfile", "autoreload", "callback", "supervised"):
            if name in stock.globals.where:
                text = f"{name}: the file that executes this one says it for the whole daemon"
                self.report.unread(listing.problem(Severity.WARNING, stock.globals.where[name], text))

    def execute(self, listing: Listing, name: str, span: Span, file: Path, main: Globals) -> None:
        """Another file, whose services go into the same daemon."""
        wanted = name.strip().strip('"') if not self.strict else name
        places = [folder / wanted for folder in (*FOLDERS, file.parent, Path())]
        other = next((place for place in places if self.there(place)), None)
        if other is None:
            self.error(listing, span, f"execute: Config file {wanted} not found")
        elif other.resolve() in self.seen:
            self.error(listing, span, f"execute: {wanted} is read already, so this goes round in a circle")
        else:
            data = read_bytes(other)
            if isinstance(data, Problem):
                self.error(listing, span, f"execute: {wanted}: {data.text}")
            else:
                self.take(other, data, main)

    def there(self, place: Path) -> bool:
        """Whether there is a file."""
        try:
            return place.is_file()
        except (OSError, ValueError):
            return False

    def error(self, listing: Listing, span: Span, text: str) -> None:
        """Report an error."""
        self.failed = True
        self.report.unread(listing.problem(Severity.ERROR, span, text))
