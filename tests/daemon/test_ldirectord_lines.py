"""The log of a whole daemon over reloads, line by line: ldirectord's words, and after them what it never told."""

from __future__ import annotations

from tests.daemon.ldirectord import NAME, Place, until

GLOBALS = 'checkinterval = 1\nchecktimeout = 1\nquiescent = {quiescent}\nautoreload = {autoreload}\nlogfile = "{log}"\n'
SERVICE = "virtual = {virtual}\n    scheduler = {scheduler}\n    checktype = connect\n"
READ = "the configuration was read again: 1 service"


def write(place: Place, *reals: str, scheduler: str = "wlc", autoreload: str = "no", quiescent: str = "yes") -> None:
    """The file, with these lines of real servers."""
    text = GLOBALS.format(log=place.log, autoreload=autoreload, quiescent=quiescent)
    text += SERVICE.format(virtual=place.virtual, scheduler=scheduler) + "".join(f"    real = {one}\n" for one in reals)
    place.config.write_text(text)


def wait(place: Place, words: str, times: int = 1) -> None:
    """Wait until so many lines of the log begin with these words."""
    until(lambda: sum(line.startswith(words) for line in place.lines()) >= times, words)


def since(place: Place, words: str) -> list[str]:
    """The lines after the first that is this one."""
    lines = place.lines()
    return lines[lines.index(words) + 1 :]


def test_what_a_reload_changes_is_told_once_in_the_order_in_which_it_was_done(place):
    up, down = place.real, f"127.0.0.2:{place.listener.port}"  # where nobody listens
    write(place, f"{up} gate 5", f"{down} gate 5")
    place.start()
    wait(place, f"Readd Quiescent real server: {down}")
    wait(place, f"Added real server: {up}")
    write(place, f"{up} gate 7", f"{down} gate 7", scheduler="wrr")
    wait(place, " - ignore new configuration")
    place.call(NAME, "reload")
    wait(place, "Restored real server")
    place.call(NAME, "reload")
    wait(place, READ, times=2)
    place.call(NAME, "stop")
    assert since(place, " - ignore new configuration") == [
        "Reloading Linux Director Daemon config on signal",
        READ,
        f"Changed virtual server: {place.virtual}",
        f"{place.virtual}/tcp: {place.virtual}/tcp scheduler wlc -> wrr",
        f"Restored real server: {up} ({place.virtual}) (Weight set to 7)",
        f"{place.virtual}/tcp: {up} weight 5 -> 7",
        "Reloading Linux Director Daemon config on signal",
        READ,
        "healthd stops, stop policy leave",
        f"Purged virtual server (stop): {place.virtual}",
        "Linux Director Daemon terminated on signal: TERM",
    ]


def test_a_file_that_changes_is_told_as_read_or_as_ignored(place):
    write(place, f"{place.real} gate 5")
    place.start()
    wait(place, "Added real server")
    changed = f"Configuration file '{place.config}' has changed on disk"
    write(place, f"{place.real} gate 6")
    wait(place, " - ignore new configuration")
    write(place, f"{place.real} gate 7", autoreload="yes")
    wait(place, " - ignore new configuration", times=2)
    place.call(NAME, "reload")
    wait(place, "Restored real server")
    write(place, f"{place.real} gate 8", autoreload="yes")
    wait(place, "Restored real server", times=2)
    assert since(place, changed) == [
        " - ignore new configuration",
        changed,
        " - ignore new configuration",
        "Reloading Linux Director Daemon config on signal",
        READ,
        f"Restored real server: {place.real} ({place.virtual}) (Weight set to 7)",
        f"{place.virtual}/tcp: {place.real} weight 5 -> 7",
        changed,
        " - reread new configuration",
        READ,
        f"Restored real server: {place.real} ({place.virtual}) (Weight set to 8)",
        f"{place.virtual}/tcp: {place.real} weight 7 -> 8",
    ]


def test_other_forwarding_of_a_server_that_is_down_does_not_call_it_restored(place):
    up, down = place.real, f"127.0.0.2:{place.listener.port}"  # where nobody listens
    write(place, f"{up} gate 5", f"{down} gate 5")
    place.start()
    wait(place, f"Readd Quiescent real server: {down}")
    write(place, f"{up} gate 5", f"{down} ipip 9")
    place.call(NAME, "reload")
    wait(place, "Quiescent real server")
    said = since(place, "Reloading Linux Director Daemon config on signal")
    assert said[1:] == [
        f"Quiescent real server: {down} ({place.virtual}) (Weight set to 0)",
        f"{place.virtual}/tcp: {down} forward gate -> ipip",
    ]
