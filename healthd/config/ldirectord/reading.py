"""Read a file of ldirectord: to what it would have in memory, with everything that is wrong or odd."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from healthd.config.ldirectord import oddities
from healthd.config.ldirectord.directives import OF_VIRTUAL, SERVERS, wrong_family
from healthd.config.ldirectord.globals import BARE_SUPERVISED, OF_FILE, read_global, split
from healthd.config.ldirectord.lines import Item, Part, forgiving, strict
from healthd.config.ldirectord.listing import Listing, secret
from healthd.config.ldirectord.names import Machine
from healthd.config.ldirectord.setup import complete
from healthd.config.ldirectord.values import Globals, Stock, Virtual
from healthd.config.ldirectord.virtuals import Block, open_block
from healthd.config.ldirectord.words import Around, Unknown, Values, Wrong
from healthd.config.problems import Problem, Severity, Span, nearest

DEPRECATED = "checkcount option is deprecated and slated for removal.  please see 'failurecount'"
_OF_BLOCK = (*OF_VIRTUAL, *SERVERS)


class _Stop(Exception):
    """The first error in strict mode ends the reading."""


def read_stock(listing: Listing, machine: Machine, *, strict: bool = False) -> tuple[Stock | None, list[Problem]]:
    """What a file says, None if there is an error. strict: accept and refuse exactly what ldirectord does."""
    reader = _Reader(listing, machine, strict=strict)
    try:
        reader.read()
        stock = reader.result()
    except _Stop:
        stock = None
    failed = any(problem.severity is Severity.ERROR for problem in reader.problems)
    return None if failed else stock, reader.problems


class _Reader:
    """One walk over a file."""

    def __init__(self, listing: Listing, machine: Machine, *, strict: bool) -> None:
        self.listing = listing
        self.machine = machine
        self.strict = strict
        self.problems: list[Problem] = []
        self.common: dict[str, Any] = {}
        self.places: dict[str, Span] = {}
        self.execute: dict[str, Span] = {}
        self.block: Block | None = None
        self.blocks: list[Block] = []
        self.outside = False

    def read(self) -> None:
        """Take every line."""
        for item in (strict if self.strict else forgiving)(self.listing.text):
            if item.odd:
                self.warn(Span(item.number, item.column, max(1, len(item.text))), item.odd)
            match item.part:
                case Part.OPEN:
                    self.open(item)
                case Part.INSIDE:
                    self.inside(item)
                case Part.CLOSE:
                    self.close(item)
                case Part.GLOBAL:
                    self.set_global(item)

    def result(self) -> Stock:
        """Everything together."""
        common = Globals(**self.common, execute=tuple(self.execute), where={**self.places, **_executed(self.execute)})
        virtuals = tuple(self.complete(block, common) for block in self.blocks if not block.failed)
        return Stock(common, virtuals)

    def complete(self, block: Block, common: Globals) -> Virtual:
        """A virtual service once all global directives are known."""
        found = complete(block.values, block.servers, block.where, common)
        if found.checkinterval is not None and common.fork == "no":
            text = (
                f"checkinterval in virtual service {found.id} ignored when fork=no by stock ldirectord, not by healthd"
            )
            self.warn(block.where["checkinterval"], text)
        return found

    def error(self, span: Span, text: str, **parts: str) -> None:
        """Report an error; the first one is the last in strict mode."""
        self.problems.append(self.listing.problem(Severity.ERROR, span, text, **parts))
        if self.strict:
            raise _Stop

    def warn(self, span: Span, text: str) -> None:
        """Report what is odd."""
        self.problems.append(self.listing.problem(Severity.WARNING, span, text))

    def open(self, item: Item) -> None:
        """A virtual begins."""
        span = Span(item.number, item.column, max(1, len(item.text)))
        self.block, self.outside = None, False
        try:
            self.block = open_block(item.text, item.family, span)
        except Wrong as error:
            self.error(span, str(error))
            self.outside = True  # its directives are still looked at
            self.block = open_block("1", item.family, span)
            self.block.failed = True
            self.block.mark = None
        self.block.where["virtual"] = span
        if not self.outside:
            for text in oddities.of_header(item.text):
                self.warn(span, text)

    def inside(self, item: Item) -> None:
        """A directive of a virtual."""
        block = self.block
        assert block is not None
        try:
            name, value = split(item.text)
        except Unknown:
            self.unknown(item, "", _OF_BLOCK)
            return
        span = _value_span(item)
        if name in SERVERS:
            why = wrong_family(name, block.family)
            if why:
                self.error(Span(item.number, item.column, len(name)), why)
            else:
                block.lines.append((value, span))
                self.compare_servers(item, value, span)
            return
        if name.startswith("fallback") and name in OF_VIRTUAL and name != "fallbackcommand":
            why = wrong_family(name, block.family)
            if why:
                self.error(Span(item.number, item.column, len(name)), why)
                return
        around = block.around(self.machine)
        found = self.value(item, name, span, around)
        if found is not None:
            block.set(found, span, name)

    def compare_servers(self, item: Item, value: str, span: Span) -> None:
        """What ldirectord would make of a line with servers, if that is not the same."""
        if self.strict:
            return
        stock = _value_of(item.stock)
        if (stock or "").rstrip() != value.rstrip():
            self.warn(span, f"stock ldirectord would take {_told(stock)} here")

    def value(self, item: Item, name: str, span: Span, around: Around) -> Values | None:
        """What a directive of a virtual says; None once it is reported."""

        def form(text: str) -> Values:
            said, value = split(text)
            if said not in OF_VIRTUAL:
                raise Unknown
            return OF_VIRTUAL[said](value, around)

        return self.taken(item, name, span, form, _OF_BLOCK)

    def set_global(self, item: Item) -> None:
        """A global directive."""
        around = Around(self.machine)
        name = split(item.text)[0] if "=" in item.text and item.text[0].isalpha() and _splits(item.text) else ""
        found = self.taken(item, name, _value_span(item), lambda text: read_global(text, around), tuple(OF_FILE))
        if found is None:
            return
        span = _value_span(item)
        if "execute" in found:
            self.execute.setdefault(found["execute"], span)
            return
        self.common.update(found)
        self.places.update(dict.fromkeys(found, span))
        if item.text.rstrip() == "supervised":
            self.warn(span, BARE_SUPERVISED)
        if "maintenancedir" in found and not self.machine.folder(found["maintenancedir"]):
            self.warn(span, "maintenance directory does not exist")

    def taken(self, item: Item, name: str, span: Span, form: Any, known: tuple[str, ...]) -> Values | None:
        """What a line says, with what ldirectord would make of it; None once it is reported why it says nothing."""
        try:
            found: Values = form(item.text)
        except Unknown:
            self.unknown(item, name, known)
            return None
        except Wrong as error:
            self.error(span, str(error))
            return None
        if name == "checkcount":
            self.warn(span, DEPRECATED)
        if not self.strict:
            for text in self.remarks(item, name, found, form):
                self.warn(span, text)
        return found

    def remarks(self, item: Item, name: str, found: Values, form: Any) -> Iterator[str]:
        """What is odd about a line."""
        try:
            stock: Values = form(item.stock)
        except Unknown:
            yield "stock ldirectord does not know this line for a directive: Unknown command"
            return
        except Wrong as error:
            yield f"stock ldirectord would refuse this line: {error}"
            return
        for key, value in found.items():
            if stock.get(key) != value:
                yield "stock ldirectord would take " + ("another value" if secret(key) else _told(stock.get(key)))
        if not item.odd:
            yield from oddities.of_value(name, _value_of(item.text) or "", found)

    def unknown(self, item: Item, name: str, known: tuple[str, ...]) -> None:
        """Report a line that is no directive."""
        shown = item.text.strip() or item.raw
        if secret(name or shown):
            shown = f"{name or shown.split()[0].partition('=')[0]}=***"
        span = Span(item.number, item.column, max(1, len(name) or len(item.text)))
        text = f'Unknown command "{shown}"'
        if name in known:
            self.error(span, f"{text}; its value must stand in quotes", expected="quotes")
            return
        other = "a virtual" if known == tuple(OF_FILE) else "the whole file"
        elsewhere = name in (_OF_BLOCK if known == tuple(OF_FILE) else OF_FILE)
        if elsewhere:
            where = (
                "below its virtual, behind 4 blanks or a tab" if other == "a virtual" else "at the beginning of a line"
            )
            self.error(span, f"{text}; it is a directive of {other} and stands {where}")
            return
        meant = nearest(name, known) if name else ""
        self.error(span, text + (f"; did you mean '{meant}'?" if meant else ""), found=name, suggestion=meant)

    def close(self, item: Item) -> None:
        """A virtual is complete."""
        block, self.block = self.block, None
        assert block is not None
        for trouble in block.finish(self.machine, strict=self.strict):
            block.failed = True
            self.error(trouble.span, trouble.message)
        for server, span in block.servers:
            for note in () if self.strict else server.notes:
                self.warn(span, note)
        if not block.failed:
            twin = next((one for one in self.blocks if not one.failed and one.id == block.id), None)
            if twin is not None:
                block.failed = True
                text = f"duplicate virtual server: {block.id} is declared at line {twin.span.line} already"
                self.error(block.span, text)
        self.blocks.append(block)


def _splits(text: str) -> bool:
    try:
        split(text)
    except Unknown:
        return False
    return True


def _value_of(text: str) -> str | None:
    try:
        return split(text)[1]
    except Unknown:
        return None


def _told(value: object) -> str:
    return "nothing" if value in (None, "") else f'"{value}"'


def _value_span(item: Item) -> Span:
    """Where the value of a directive stands; the whole directive if it has none."""
    before, equals, value = item.raw[item.column - 1 :].partition("=")
    blanks = len(value) - len(value.lstrip())
    width = len((_value_of(item.text) or "").rstrip())
    if not equals or not width:
        return Span(item.number, item.column, max(1, len(item.text)))
    return Span(item.number, item.column + len(before) + 1 + blanks, width)


def _executed(found: Mapping[str, Span]) -> Mapping[str, Span]:
    return {f"execute {name}": span for name, span in found.items()}
