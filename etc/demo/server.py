"""A small real server: python server.py ADDRESS PORT NAME answers every GET with its name until it is killed."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers with the server's name."""

    def do_GET(self) -> None:
        """Answer a GET."""
        body = f"{sys.argv[3]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
        """Say nothing: the demonstration shows what is asked."""


class Server(ThreadingHTTPServer):
    """One thread for each connection."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that leaves early is no news."""


if __name__ == "__main__":
    Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
