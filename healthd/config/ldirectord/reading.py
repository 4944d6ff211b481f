"""Read a file of ldirectord: to what it would have in memory, with everything that is wrong or odd."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from healthd.config.ldirectord import oddities
from healthd.config.ldirectord.directives import OF_VIRTUAL, SERVERS, wrong_family
from healthd.config.ldirectord.globals import BARE_SUPERVISED, read_global, split
from healthd.config.ldirectord.lines import Item, Part, forgiving, strict
from healthd.config.ldirectord.listing import Listing, secret
from healthd.config.ldirectord.names import Machine
from healthd.config.ldirectord.setup import complete
from healthd.config.ldirectord.unknown import unknown
from healthd.config.ldirectord.values import Globals, Stock, Virtual
from healthd.config.ldirectord.virtuals import Block, open_block
from healthd.config.ldirectord.words import Around, Unknown, Values, Wrong
from healthd.config.problems import Problem, Severity, Span

DEPRECATED = "checkcount option is deprecated and slated for removal.  please see 'failurecount'"
_OF_ONE_FAMILY = (*SERVERS, "fallback", "fallback6")

Form = Callable[[str], Values]


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
    return None if _errors(reader.problems) else stock, reader.problems


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
        self.ids: dict[str, Block] = {}
        self.said: set[str] = set()

    def read(self) -> None:
        """Take every line."""
        for item in (strict if self.strict else forgiving)(self.listing.text):
            before = len(self.problems)
            match item.part:
                case Part.OPEN:
                    self.open(item)
                case Part.INSIDE:
                    self.inside(item)
                case Part.CLOSE:
                    self.close(item)
                case Part.GLOBAL:
                    self.set_global(item)
            if item.odd and not _errors(self.problems[before:]):
                self.tell_odd(item)

    def tell_odd(self, item: Item) -> None:
        """Why ldirectord would not take a line; the same of every line of a block is said of its first one."""
        if self.block is None or item.odd not in self.said:
            self.warn(_whole(item), item.odd)
            self.said.add(item.odd)

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
        """A virtual begins. The directives of one with a bad header are looked at all the same."""
        span = _whole(item)
        self.block = None
        self.said.clear()
        try:
            self.block = open_block(item.text, item.family, span)
            for text in oddities.of_header(item.text):
                self.warn(span, text)
        except Wrong as error:
            self.error(span, str(error))
            self.block = open_block("1", item.family, span)
            self.block.failed = True
            self.block.mark = None
        self.block.where["virtual"] = span

    def inside(self, item: Item) -> None:
        """A directive of a virtual."""
        block, span = self.block, _value_span(item)
        assert block is not None
        name, value = _assigned(item.text)
        if why := wrong_family(name, block.family) if name in _OF_ONE_FAMILY else "":
            self.error(Span(item.number, item.column, len(name)), why)
        elif name in SERVERS:
            block.lines.append((value, _assigned(item.stock)[1], span))
            self.compare_servers(item, value, span)
        else:
            around = block.around(self.machine)
            found = self.taken(item, name, span, lambda text: _read_inside(text, around))
            if found is not None:
                block.set(found, span, name)

    def compare_servers(self, item: Item, value: str, span: Span) -> None:
        """What ldirectord would make of a line with servers, if that is not the same."""
        if self.strict:
            return
        stock = _assigned(item.stock)[1]
        if stock.rstrip() != value.rstrip():
            self.warn(span, f"stock ldirectord would take {_told(stock)} here")

    def set_global(self, item: Item) -> None:
        """A global directive."""
        around = Around(self.machine)
        found = self.taken(item, _assigned(item.text)[0], _value_span(item), lambda text: read_global(text, around))
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

    def taken(self, item: Item, name: str, span: Span, form: Form) -> Values | None:
        """What a line says, with what ldirectord would make of it; None once it is reported why it says nothing."""
        try:
            found = form(item.text)
        except Unknown:
            place, text, parts = unknown(item, name)
            self.error(place, text, **parts)
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

    def remarks(self, item: Item, name: str, found: Values, form: Form) -> Iterator[str]:
        """What is odd about a line."""
        try:
            stock = form(item.stock)
        except Unknown:
            cut = ", as it takes what is behind the # for a comment" if "#" in item.text else ""
            yield f"stock ldirectord would refuse this line: Unknown command{cut}"
            return
        except Wrong as error:
            yield f"stock ldirectord would refuse this line: {error}"
            return
        for key, value in found.items():
            if stock.get(key) != value:
                yield "stock ldirectord would take " + ("another value" if secret(key) else _told(stock.get(key)))
        if not item.odd:
            yield from oddities.of_value(name, _assigned(item.text)[1], found)

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
            twin = self.ids.setdefault(block.id, block)
            if twin is not block:
                block.failed = True
                text = f"duplicate virtual server: {block.id} is declared at line {twin.span.line} already"
                self.error(block.span, text)
        self.blocks.append(block)


def _errors(problems: Iterable[Problem]) -> bool:
    return any(problem.severity is Severity.ERROR for problem in problems)


def _read_inside(text: str, around: Around) -> Values:
    """What a directive of a virtual says. Raises Wrong or Unknown."""
    name, value = split(text)
    if name not in OF_VIRTUAL:
        raise Unknown
    return OF_VIRTUAL[name](value, around)


def _assigned(text: str) -> tuple[str, str]:
    """Name and value of a line; both empty if it has no such form."""
    try:
        return split(text)
    except Unknown:
        return "", ""


def _told(value: object) -> str:
    return "nothing" if value in (None, "") else f'"{value}"'


def _whole(item: Item) -> Span:
    return Span(item.number, item.column, max(1, len(item.text)))


def _value_span(item: Item) -> Span:
    """Where the value of a directive stands; the whole directive if it has none."""
    before, equals, value = item.raw[item.column - 1 :].partition("=")
    blanks = len(value) - len(value.lstrip())
    width = len(_assigned(item.text)[1].rstrip())
    if not equals or not width:
        return _whole(item)
    return Span(item.number, item.column + len(before) + 1 + blanks, width)


def _executed(found: Mapping[str, Span]) -> Mapping[str, Span]:
    return {f"execute {name}": span for name, span in found.items()}
