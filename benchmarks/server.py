"""`python benchmarks/server.py tcp|http|dns`: what server.c does, for machines without a compiler."""

from __future__ import annotations

import select
import socket
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


def echo(sock: socket.socket) -> None:
    """Send every datagram back from the address it was sent to."""
    sock.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    while True:
        data, control, _, peer = sock.recvmsg(4096, 256)
        sock.sendmsg([data], control, 0, peer)


def serve(listener: socket.socket, answer: bytes) -> None:
    """Accept, answer what is read, close when the peer does."""
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                connection = listener.accept()[0]
                connections[connection.fileno()] = connection
                poll.register(connection.fileno(), select.EPOLLIN)
            elif not talk(connections[fd], answer):
                connections.pop(fd).close()


def talk(connection: socket.socket, answer: bytes) -> bool:
    """Read once and answer; False at the end."""
    try:
        data = connection.recv(4096)
        if data and answer:
            connection.send(answer)
    except OSError:
        return False
    return bool(data)


def main() -> None:
    kind = sys.argv[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "dns" else socket.SOCK_STREAM) as sock:
        sock.bind(("", 0))
        print(sock.getsockname()[1], flush=True)
        if kind == "dns":
            echo(sock)
        sock.listen(4096)
        serve(sock, ANSWER if kind == "http" else b"")


if __name__ == "__main__":
    main()
