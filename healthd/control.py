"""The client of the control socket: what the commands use. Standard library only, so that they start quickly."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any


class ControlError(Exception):
    """The daemon could not be asked, or refused. One sentence for people."""


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


def ask(path: Path, method: str, what: str, timeout: float = 30.0) -> dict[str, Any]:
    """One request to the daemon; its JSON answer. timeout: seconds. Raises ControlError."""
    connection = _UnixConnection(path, timeout)
    try:
        connection.request(method, what)
        response = connection.getresponse()
        body = response.read()
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
    document = _object(body)
    if response.status != http.client.OK or document is None:
        said = (document or {}).get("error", f"answered {response.status}, which is no status of healthd's")
        raise ControlError(f"the daemon on {path}: {said}")
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
