"""Small configurations as text, and what is in them once loaded."""

from ipaddress import ip_address

from hypothesis import strategies as st

from healthd.config.problems import render
from healthd.model import DestKey


def services_of(loaded):
    assert loaded.config is not None, render(loaded.problems)
    return loaded.config.services


def service_of(loaded):
    (service,) = services_of(loaded)
    return service


def one(head="", check='type = "tcp"', real='address = "10.0.0.11"', virtual='virtual = "192.0.2.80:80"'):
    """A service with one check and one server."""
    return f"[[service]]\n{virtual}\n{head}\n[service.check]\n{check}\n[[service.real]]\n{real}\n"


def key(address, port):
    return DestKey(ip_address(address), port)


def quoted(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def written(value, draw=None):
    """A value as TOML, in one of the spellings that it may have. draw: of hypothesis, None for the plainest."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value) if value == value and abs(value) != float("inf") else str(value)
        case int():
            return str(value)
        case str():
            plain = value.isprintable() and "'" not in value
            return f"'{value}'" if plain and draw and draw(st.booleans()) else quoted(value)
        case list():
            gap = draw(st.sampled_from(["", " ", "\n", " # comment ]\n"])) if draw else " "
            return "[" + gap + f",{gap}".join(written(item, draw) for item in value) + gap + "]"
        case dict():
            return "{ " + ", ".join(f"{quoted(key)} = {written(item, draw)}" for key, item in value.items()) + " }"
        case _:
            return value.isoformat()


def document(tree):
    """A whole tree as TOML, one line for each key at its root."""
    return "".join(f"{quoted(key)} = {written(value)}\n" for key, value in tree.items())
