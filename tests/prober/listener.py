"""`python -m tests.prober.listener PORT`: accepts on 127.0.0.1 and says nothing, until its parent is gone."""

from __future__ import annotations

import os
import select
import socket
import sys


def main() -> None:
    """Accept, and look once a second whether anybody still needs it."""
    parent = os.getppid()
    kept = []
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
        while os.getppid() == parent:
            if select.select([listener], [], [], 1.0)[0]:
                kept.append(listener.accept()[0])


if __name__ == "__main__":
    main()
