"""A gRPC server with a health service, on grpcio; run by the system's Python, which Debian's package is for.

Arguments: port, port with TLS, certificate, key. The service is "serving", "down", "unsure", or ends in an error.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

KNOWN = {b"": b"\x08\1", b"serving": b"\x08\1", b"down": b"\x08\2", b"unsure": b""}
ERRORS = {b"closed": grpc.StatusCode.PERMISSION_DENIED, b"broken": grpc.StatusCode.INTERNAL}


def check(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Health of a service, by the text in the request's one field."""
    service = request[2:]
    if service in ERRORS:
        context.abort(ERRORS[service], "not for you")
    if service not in KNOWN:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return KNOWN[service]


def main() -> None:
    """Serve until a signal comes."""
    port, secure, certificate, key = sys.argv[1:5]
    server = grpc.server(ThreadPoolExecutor(4))
    if sys.argv[5:] != ["without-health"]:
        methods = {"Check": grpc.unary_unary_rpc_method_handler(check)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods),))
    shown = grpc.ssl_server_credentials([(Path(key).read_bytes(), Path(certificate).read_bytes())])
    for address in ("127.0.0.1", "[::1]"):
        server.add_insecure_port(f"{address}:{port}")
        server.add_secure_port(f"{address}:{secure}", shown)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
