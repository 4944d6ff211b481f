"""grpc against a real server on grpcio: health of services, errors by name, TLS, silence; and against nginx."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from checks.grpc import GrpcCheck
from healthd.check import Outcome, Reason, Tls
from tests.checks.servers import Nginx, both
from tests.checks.servers_grpc import Grpc, grpc
from tests.checks.wayward import SHORT, verdict_of

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server() -> Iterator[Grpc]:
    with grpc() as served:
        yield served


@pytest.mark.parametrize("family", [0, 1])
async def test_it_is_serving_with_and_without_tls(server: Grpc, family: int):
    for check, port in (
        (GrpcCheck(), server.port),
        (GrpcCheck(service="serving", authority="localhost.test"), server.port),
        (GrpcCheck(tls=server.certified.tls), server.secure),
        (GrpcCheck(tls=replace(server.certified.tls, server_name=None), authority="localhost.test"), server.secure),
        (GrpcCheck(tls=Tls(verify=False)), server.secure),
    ):
        verdict = await verdict_of(check, both(port)[family])
        assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "SERVING")


@pytest.mark.parametrize(
    ("service", "detail"),
    [
        ("down", "health of 'down' is NOT_SERVING, want SERVING"),
        ("unsure", "health of 'unsure' is UNKNOWN, want SERVING"),
        ("other", "got NOT_FOUND (5), 'unknown service', want OK"),
        ("closed", "got PERMISSION_DENIED (7), 'not for you', want OK"),
        ("broken", "got INTERNAL (13), 'not for you', want OK"),
    ],
)
async def test_what_is_wrong_is_told(server: Grpc, service: str, detail: str):
    verdict = await verdict_of(GrpcCheck(service=service), both(server.port)[0])
    assert (verdict.outcome, verdict.reason, verdict.detail) == (Outcome.FAIL, Reason.UNEXPECTED, detail)


async def test_a_server_without_a_health_service_is_told():
    with grpc("without-health") as served:
        verdict = await verdict_of(GrpcCheck(), both(served.port)[1])
    assert verdict.reason is Reason.UNEXPECTED
    assert verdict.detail.startswith("got UNIMPLEMENTED (12), ")


async def test_certificates_are_verified_unless_told_otherwise(server: Grpc):
    for tls in (Tls(server_name="localhost.test"), replace(server.certified.tls, server_name="other.test")):
        assert (await verdict_of(GrpcCheck(tls=tls), both(server.secure)[0])).reason is Reason.TLS
    assert (await verdict_of(GrpcCheck(), both(server.secure)[0])).outcome is Outcome.FAIL
    assert (await verdict_of(GrpcCheck(tls=Tls(verify=False)), both(server.port)[0], 2.0)).outcome is Outcome.FAIL


async def test_a_web_server_is_no_grpc_server(nginx: Nginx):
    plain = await verdict_of(GrpcCheck(), both(nginx.http)[0])
    assert (plain.outcome, plain.reason) == (Outcome.FAIL, Reason.PROTOCOL)
    secured = await verdict_of(GrpcCheck(tls=nginx.certified.tls), both(nginx.https)[0])
    assert (secured.outcome, secured.reason) == (Outcome.FAIL, Reason.TLS)
    assert "application protocol" in secured.detail


async def test_a_stopped_process_is_silent_and_a_gone_one_refuses():
    with grpc() as served:
        (target, _) = both(served.port)
        served.process.send_signal(signal.SIGSTOP)
        try:
            assert (await verdict_of(GrpcCheck(), target, SHORT)).reason is Reason.TIMEOUT
        finally:
            served.process.send_signal(signal.SIGCONT)
        assert (await verdict_of(GrpcCheck(), target)).outcome is Outcome.PASS
    assert (await verdict_of(GrpcCheck(), target)).reason is Reason.REFUSED
