"""The client of the control socket: what the commands use. Standard library only, so that they start quickly."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class ControlError(Exception):
    """The daemon could not be asked, or refused. One sentence for people."""


class Refusal(ControlError):
    """The daemon refused. status: of HTTP. said: its sentence."""

    def __init__(self, path: Path, status: int, said: str) -> None:
        super().__init__(f"the daemon on {path}: {said}")
        self.status = status
        self.said = said


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(path: Path, method: str, what: str, timeout: float = 30.0, *, body: Any = None) -> dict[str, Any]:
    """One request to the daemon; its JSON answer. timeout: seconds. body: sent as JSON. Raises ControlError."""
    with _asked(path, method, what, timeout, body) as response:
        return _document(path, response)


def follow(path: Path, what: str, silence: float = 60.0) -> Iterator[dict[str, Any]]:
    """The events of a stream as they come, each with its id, until the daemon ends it.

    silence: seconds without even a sign of life after which the daemon is taken for gone. Raises ControlError.
    """
    with _asked(path, "GET", what, silence, None) as response:
        if response.status != http.client.OK:
            _document(path, response)
        last = 0
        for line in response:
            name, _, value = line.decode(errors="replace").rstrip("\n").partition(": ")
            if name == "id":
                last = int(value)
            elif name == "data":
                yield {"id": last, **json.loads(value)}


@contextmanager
def _asked(path: Path, method: str, what: str, timeout: float, body: Any) -> Iterator[http.client.HTTPResponse]:
    """The answer to a request, as long as it is read."""
    connection = _UnixConnection(path, timeout)
    sent = None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, what, sent, {} if sent is None else {"Content-Type": "application/json"})
        yield connection.getresponse()
    except TimeoutError:
        raise ControlError(f"the daemon on {path} did not answer within {timeout:g} s") from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise ControlError(f"no daemon answers on {path} ({_elsewhere(path)})") from None
    except PermissionError:
        raise ControlError(f"no permission to ask the daemon on {path}; be root or in its control group") from None
    except (OSError, http.client.HTTPException) as error:
        raise ControlError(f"asking the daemon on {path} failed: {' '.join(str(error).split())}") from None
    finally:
        connection.close()


def _document(path: Path, response: http.client.HTTPResponse) -> dict[str, Any]:
    """The object of an answer. Raises Refusal."""
    document = _object(response.read())
    if response.status != http.client.OK or document is None:
        said = (document or {}).get("error", f"answered {response.status}, which is no status of healthd's")
        raise Refusal(path, response.status, said)
    return document


def _elsewhere(path: Path) -> str:
    """Where else a daemon may be asked: there is a socket for each instance of `healthd ldirectord`."""
    others = sorted(str(other) for other in path.parent.glob("*.sock") if other != path)
    return f"-s says which of {', '.join(others)}" if others else "-s names another control socket"


def _object(body: bytes) -> dict[str, Any] | None:
    """A JSON object; None where it is something else, as from a server that is no healthd."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
