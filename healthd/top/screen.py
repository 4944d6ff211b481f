"""Puts `healthd top` on a terminal and takes its keys; the terminal is as it was before, however this ends."""

from __future__ import annotations

import contextlib
import curses
import locale
import os
import queue
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TypeVar

from healthd.top.cells import Line, Style
from healthd.top.feed import Feed
from healthd.top.keys import pressed
from healthd.top.model import Step, Top, resized, took
from healthd.top.panes import lines
from healthd.top.words import Key, Message, Pressed

Thing = TypeVar("Thing")
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
HANDLED = (*ENDING, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
ESCAPE_MS = 25
"""Milliseconds in which what follows the Esc of a key's sequence must come."""
HUNG_UP = select.POLLHUP | select.POLLERR | select.POLLNVAL

KEYS: Mapping[str | int, Key] = {
    curses.KEY_UP: Key.UP,
    curses.KEY_DOWN: Key.DOWN,
    curses.KEY_PPAGE: Key.PAGE_UP,
    curses.KEY_NPAGE: Key.PAGE_DOWN,
    curses.KEY_HOME: Key.HOME,
    curses.KEY_END: Key.END,
    curses.KEY_ENTER: Key.ENTER,
    curses.KEY_BACKSPACE: Key.BACKSPACE,
    "\n": Key.ENTER,
    "\r": Key.ENTER,
    "\x1b": Key.ESCAPE,
    "\x7f": Key.BACKSPACE,
    "\b": Key.BACKSPACE,
}
COLOURS = {
    Style.GOOD: curses.COLOR_GREEN,
    Style.WARNING: curses.COLOR_YELLOW,
    Style.BAD: curses.COLOR_RED,
    Style.OUT: curses.COLOR_CYAN,
}
LOOKS = {
    Style.DIM: curses.A_DIM,
    Style.STRONG: curses.A_BOLD,
    Style.BAR: curses.A_REVERSE,
    Style.BAD: curses.A_BOLD,
}


class NoTerminal(Exception):
    """There is no terminal to show it on; one sentence."""


def show(path: Path, *, may_write: bool, who: str | None) -> int:
    """Show the daemon on a control socket until somebody quits. Returns 0, or 128 and the signal's number.

    may_write: whether keys that give orders work; who: for whom they are given. Raises NoTerminal.
    """
    _want_terminal()
    with _signals() as signals, _curses() as window:
        inbox = Inbox()
        feed = Feed(path, inbox.put)
        threading.excepthook = inbox.put_fault
        feed.start()
        screen = Screen(window)
        try:
            top = Top(*screen.size(), may_write=may_write, who=who)
            return _Loop(screen, inbox, signals, feed).run(top)
        except HungUp:
            return 128 + signal.SIGHUP


def _want_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise NoTerminal("this needs a terminal; `healthd status` does not")
    try:
        curses.setupterm()
    except curses.error:
        raise NoTerminal(f"the terminal {os.environ.get('TERM', '')!r} is not known here; set TERM") from None
    if not curses.tigetstr("cup"):
        raise NoTerminal(f"the terminal {os.environ.get('TERM', '')!r} cannot move its cursor; set TERM")


@contextlib.contextmanager
def _curses() -> Iterator[curses.window]:
    locale.setlocale(locale.LC_ALL, "")
    window = curses.initscr()
    try:
        curses.noecho()
        curses.cbreak()
        curses.set_escdelay(ESCAPE_MS)
        window.keypad(True)
        window.nodelay(True)
        if curses.tigetstr("civis"):
            curses.curs_set(0)
        yield window
    finally:
        with contextlib.suppress(curses.error):  # the terminal may be gone, and then nobody is left to tell
            curses.endwin()


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """Signals as bytes of a socket, in the order in which they came."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    before = {number: signal.signal(number, _noted) for number in HANDLED}
    wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        yield ours
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        ours.close()
        theirs.close()


def _noted(number: int, frame: FrameType | None) -> None:
    """The byte that the interpreter writes says it all."""


class HungUp(Exception):
    """The terminal is gone."""


class Inbox:
    """What other threads put. bell: a descriptor (eventfd) that is readable as long as there is something."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[Message | BaseException] = queue.SimpleQueue()
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def put_fault(self, fault: threading.ExceptHookArgs) -> None:
        """Put what ended a thread, for whoever takes it to end of."""
        if fault.exc_value is not None:
            self.put(fault.exc_value)

    def put(self, message: Message | BaseException) -> None:
        """Put a message."""
        self._messages.put(message)
        os.eventfd_write(self.bell, 1)

    def take(self) -> Iterator[Message]:
        """All that is there. Raises what ended a thread."""
        with contextlib.suppress(BlockingIOError):  # it does not ring
            os.eventfd_read(self.bell)
        while not self._messages.empty():
            message = self._messages.get()
            if isinstance(message, BaseException):
                raise message
            yield message


class Screen:
    """Lines on a window, and keys from it."""

    def __init__(self, window: curses.window) -> None:
        self._window = window
        self._looks = _looks()

    def draw(self, drawn: tuple[Line, ...]) -> None:
        """Show these lines; only what differs is sent to the terminal."""
        self._window.erase()
        for at, line in enumerate(drawn):
            self._window.move(at, 0)
            marked = curses.A_REVERSE if line.marked else 0
            # the C library may take a new letter for wider than we do; then the last line does not end in time
            with contextlib.suppress(curses.error):
                for span in line.spans:
                    self._window.addstr(self._writable(span.text), self._looks.get(span.style, 0) | marked)
        self._window.refresh()

    def keys(self) -> Iterator[Pressed]:
        """All that were pressed."""
        while True:
            try:
                key = self._window.get_wch()
            except curses.error:  # none is left
                return
            known: Pressed | None = KEYS.get(key)
            if known or (isinstance(key, str) and key.isprintable()):
                yield known or str(key)

    def size(self) -> tuple[int, int]:
        """Lines and columns as the terminal has them now, whatever the environment says of them. Raises HungUp."""
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except OSError as error:
            raise HungUp from error
        curses.resizeterm(max(1, size.lines), max(1, size.columns))
        return self._window.getmaxyx()

    def suspend(self) -> None:
        """Give the terminal back, stop, and take it again when somebody has us go on."""
        curses.endwin()
        ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, ours)

    def resume(self) -> None:
        """Take the terminal again: whoever had it left it in another state. Raises HungUp."""
        try:
            curses.reset_prog_mode()
        except curses.error as error:
            raise HungUp from error
        self._window.clearok(True)

    def _writable(self, text: str) -> str:
        return text.encode(self._window.encoding, "replace").decode(self._window.encoding)


def _looks() -> dict[Style, int]:
    """Attributes of the styles; in colour where the terminal has it and NO_COLOR is not set (no-color.org)."""
    looks = dict(LOOKS)
    if not curses.has_colors() or os.environ.get("NO_COLOR"):
        return looks
    curses.start_color()
    background = curses.COLOR_BLACK
    if curses.tigetstr("op"):  # the terminal has colours of its own, which it can be told to use
        curses.use_default_colors()
        background = -1
    for number, (style, colour) in enumerate(COLOURS.items(), 1):
        curses.init_pair(number, colour, background)
        looks[style] = looks.get(style, 0) | curses.color_pair(number)
    return looks


@dataclass(slots=True)
class _Loop:
    """Waits for keys, messages and signals, and draws what has become of the view."""

    screen: Screen
    inbox: Inbox
    signals: socket.socket
    feed: Feed

    def run(self, top: Top) -> int:
        """Until somebody quits, or a signal ends it; the exit code. Raises HungUp."""
        poll = select.poll()
        for source in (sys.stdin.fileno(), self.inbox.bell, self.signals.fileno()):
            poll.register(source, select.POLLIN)
        while not top.ended:
            self.screen.draw(lines(top))
            events = dict(poll.poll())
            for number in self._noted():
                if number in ENDING:
                    return 128 + number
                top = self._signalled(top, number)
            if events.get(sys.stdin.fileno(), 0) & HUNG_UP:
                raise HungUp
            top = self._stepped(top, pressed, self.screen.keys())
            top = self._stepped(top, took, self.inbox.take())
        return 0

    def _noted(self) -> bytes:
        """Numbers of the signals since the last time."""
        with contextlib.suppress(BlockingIOError):  # there was none
            return self.signals.recv(4096)
        return b""

    def _stepped(self, top: Top, step: Callable[[Top, Thing], Step], things: Iterator[Thing]) -> Top:
        for thing in things:
            top, requests = step(top, thing)
            for request in requests:
                self.feed.request(request)
        return top

    def _signalled(self, top: Top, number: int) -> Top:
        if number == signal.SIGTSTP:
            self.screen.suspend()
        if number in (signal.SIGTSTP, signal.SIGCONT):
            self.screen.resume()
        return resized(top, *self.screen.size())
