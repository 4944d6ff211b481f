"""TLS against real servers: what is verified, what is said when it is not, and that nothing lingers."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from healthd.check import Connect, Outcome, Reader, Reason, Send, Tls, Verdict
from healthd.prober.ask import ask
from tests.prober import authority
from tests.prober.patience import late
from tests.prober.stage import stage
from tests.prober.talk import Line, Steps, Tcp, Upgrade
from tests.support import servers
from tests.support.servers import over_tls, serving

AMPLE = 20.0
NAME = "www.example.org"


@pytest.fixture
def ca(tmp_path):
    return authority.trusted(tmp_path)


async def verdict(check, target, within=AMPLE):
    return (await ask(check, target, within))[0]


def refused(said, *words):
    assert (said.outcome, said.reason) == (Outcome.FAIL, Reason.TLS), said
    for word in words:
        assert word in said.detail, said.detail


def local(said, *words):
    assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.LOCAL), said
    for word in words:
        assert word in said.detail, said.detail


# --- what is verified ---


async def test_a_certificate_for_the_name_passes(ca):
    with serving(over_tls(authority.serving(NAME), servers.echo_lines)) as server:
        assert (await verdict(Line(tls=Tls(ca_file=ca), name=NAME), server.target)).detail == "hello"


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
async def test_a_certificate_for_the_address_passes_when_no_name_is_given(ca, family, address):
    with serving(over_tls(authority.serving(address), servers.echo_lines), family) as server:
        assert (await verdict(Line(tls=Tls(ca_file=ca)), server.target)).outcome is Outcome.PASS


async def test_a_certificate_for_another_address_fails(ca):
    with serving(over_tls(authority.serving("127.0.0.2"), servers.echo_lines)) as server:
        refused(await verdict(Line(tls=Tls(ca_file=ca)), server.target), "127.0.0.1")


async def test_a_certificate_for_another_name_fails_and_the_detail_has_the_name(ca):
    with serving(over_tls(authority.serving("other.example.org"), servers.echo_lines)) as server:
        refused(await verdict(Line(tls=Tls(ca_file=ca), name=NAME), server.target), "not accepted", NAME)


async def test_the_name_in_the_tls_table_wins_over_the_checks(ca):
    with serving(over_tls(authority.serving(NAME), servers.echo_lines)) as server:
        check = Line(tls=Tls(ca_file=ca, server_name=NAME), name="other.example.org")
        assert (await verdict(check, server.target)).outcome is Outcome.PASS


async def test_the_name_is_sent_to_the_server(ca):
    asked = []
    context = authority.serving(NAME)
    context.sni_callback = lambda _connection, name, _context: asked.append(name)
    with serving(over_tls(context, servers.echo_lines)) as server:
        await verdict(Line(tls=Tls(ca_file=ca), name=NAME), server.target)
        await verdict(Line(tls=Tls(verify=False)), server.target)
    assert asked == [NAME, None]


async def test_an_expired_certificate_fails(ca):
    with serving(over_tls(authority.serving(NAME, days=-3), servers.echo_lines)) as server:
        refused(await verdict(Line(tls=Tls(ca_file=ca), name=NAME), server.target), "certificate has expired")


async def test_a_self_signed_certificate_fails():
    context = authority.serving(NAME, issuer=trustme.CA())
    with serving(over_tls(context, servers.echo_lines)) as server:
        refused(await verdict(Line(tls=Tls(), name=NAME), server.target), "certificate not accepted")


async def test_the_chain_can_be_verified_without_the_name(ca):
    chain_only = Line(tls=Tls(ca_file=ca, verify_name=False), name=NAME)
    for names, days, issuer, words in (
        (("other.example.org",), 30, None, ""),
        (("other.example.org",), -3, None, "certificate has expired"),
        ((NAME,), 30, trustme.CA(), "certificate not accepted"),
    ):
        with serving(over_tls(authority.serving(*names, days=days, issuer=issuer), servers.echo_lines)) as server:
            said = await verdict(chain_only, server.target)
        if words:
            refused(said, words)
        else:
            assert said.detail == "hello"


async def test_contexts_that_differ_in_the_name_alone_are_two(ca):
    with serving(over_tls(authority.serving("other.example.org"), servers.echo_lines)) as server:
        loose, strict = (Line(tls=Tls(ca_file=ca, verify_name=wanted), name=NAME) for wanted in (False, True))
        async with stage() as on:
            said = await on.all([(loose, server.target), (strict, server.target), (loose, server.target)])
    assert [one.outcome for one in said] == [Outcome.PASS, Outcome.FAIL, Outcome.PASS]


async def test_without_verification_all_of_these_pass(ca):
    context = authority.serving("other.example.org", days=-3, issuer=trustme.CA())
    with serving(over_tls(context, servers.echo_lines)) as server:
        assert (await verdict(Line(tls=Tls(verify=False), name=NAME), server.target)).outcome is Outcome.PASS


# --- days left ---


@pytest.mark.parametrize("verify", [True, False])
async def test_a_certificate_that_ends_too_soon_fails(ca, verify):
    with serving(over_tls(authority.serving(NAME, days=3), servers.echo_lines)) as server:
        said = await verdict(Line(tls=Tls(verify=verify, ca_file=ca, min_days=14), name=NAME), server.target)
    assert said == Verdict(Outcome.FAIL, Reason.TLS, "certificate expires in 3 days, want 14")


async def test_a_certificate_that_has_ended_says_so_when_not_verified():
    with serving(over_tls(authority.serving(NAME, days=-3), servers.echo_lines)) as server:
        said = await verdict(Line(tls=Tls(verify=False, min_days=14), name=NAME), server.target)
    assert said.detail == "certificate expired 3 days ago, want 14"


@pytest.mark.parametrize("verify", [True, False])
async def test_the_conversation_is_told_how_many_days_are_left(ca, verify):
    def tell(target):
        connected = yield Connect(tls=Tls(verify=verify, ca_file=ca), server_name=NAME)
        return f"{connected.tls.days_left} {connected.tls.version} {connected.tls.alpn}"

    with serving(over_tls(authority.serving(NAME, days=44), servers.echo_lines)) as server:
        assert (await verdict(Steps(tell), server.target)).detail == "44 TLSv1.3 None"


async def test_application_protocols_are_offered(ca):
    def tell(target):
        connected = yield Connect(tls=Tls(ca_file=ca, alpn=("h2", "http/1.1")), server_name=NAME)
        return str(connected.tls.alpn)

    context = authority.serving(NAME)
    context.set_alpn_protocols(["http/1.1"])
    with serving(over_tls(context, servers.echo_lines)) as server:
        assert (await verdict(Steps(tell), server.target)).detail == "http/1.1"


# --- handshakes that fail ---


async def test_a_server_without_tls_is_told_apart(ca):
    with serving(servers.junk) as server:
        refused(await verdict(Line(tls=Tls(ca_file=ca)), server.target), "the answer is not TLS")


async def test_a_handshake_that_never_ends_times_out_and_says_so(ca):
    with serving(servers.silent) as server:
        said, within = await late(Line(tls=Tls(ca_file=ca)), server.target)
    assert said.reason is Reason.TIMEOUT
    assert said.detail.startswith(f"TLS handshake not finished within {within}; connected after ")


async def test_a_close_during_the_handshake_fails(ca):
    def slam(connection):
        connection.recv(4096)

    with serving(slam) as server:
        refused(await verdict(Line(tls=Tls(ca_file=ca)), server.target), "connection closed during TLS")


async def test_a_reset_during_the_handshake_is_a_reset(ca):
    def slam(connection):
        connection.recv(4096)
        servers.reset(connection)

    with serving(slam) as server:
        said = await verdict(Line(tls=Tls(ca_file=ca)), server.target)
    assert said == Verdict(Outcome.FAIL, Reason.RESET, "connection reset during the TLS handshake")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_server_with_only_old_tls_fails(ca):
    context = authority.serving(NAME)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with serving(over_tls(context, servers.echo_lines)) as server:
        refused(await verdict(Line(tls=Tls(ca_file=ca), name=NAME), server.target))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_our_own_certificate_is_shown_to_a_server_that_asks(ca, tmp_path, version):
    own = authority.certificate("healthd@example.org")
    own.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own.pem"))
    context = authority.serving(NAME)
    context.maximum_version = context.minimum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    authority.authority().configure_trust(context)
    with serving(over_tls(context, servers.echo_lines)) as server:
        check = Line(tls=Tls(ca_file=ca, cert_file=str(tmp_path / "own.pem")), name=NAME)
        assert (await verdict(check, server.target)).outcome is Outcome.PASS
        said = await verdict(Line(tls=Tls(ca_file=ca), name=NAME), server.target)
    assert said.outcome is Outcome.FAIL


# --- STARTTLS ---


async def test_tls_may_begin_in_the_middle(ca):
    handler = servers.start_tls_after(b"secure\n", authority.serving(NAME), servers.echo_lines)
    with serving(handler) as server:
        assert (await verdict(Upgrade(Tls(ca_file=ca), NAME), server.target)).detail == "hello by TLSv1.3"


async def test_starttls_verifies_too(ca):
    handler = servers.start_tls_after(b"secure\n", authority.serving("other"), servers.echo_lines)
    with serving(handler) as server:
        refused(await verdict(Upgrade(Tls(ca_file=ca), NAME), server.target), NAME)


# --- data ---


async def test_more_than_the_buffers_hold_goes_both_ways(ca):
    size = 2_000_000

    def swallow(connection):
        threading.Event().wait(0.1)
        left = size
        while left:
            left -= len(connection.recv(65536))
        connection.sendall(b"y" * size)
        connection.sendall(b"\n")

    def pour(target):
        yield Connect(tls=Tls(ca_file=ca), server_name=NAME)
        yield Send(b"x" * size)
        line = yield from Reader(size + 10).line()
        return str(len(line))

    with serving(over_tls(authority.serving(NAME), swallow)) as server:
        assert (await verdict(Steps(pour), server.target)).detail == str(size)


@pytest.mark.parametrize("polite", [True, False])
async def test_the_end_of_the_stream_is_the_end_with_and_without_close_notify(ca, polite):
    def finish(connection):
        servers.line_of(connection)
        connection.sendall(b"bye")
        if polite:
            connection.unwrap()

    with serving(over_tls(authority.serving(NAME), finish)) as server:
        said = await verdict(Line(tls=Tls(ca_file=ca), name=NAME), server.target)
    assert said == Verdict(Outcome.FAIL, Reason.PROTOCOL, "connection closed after 3 bytes")


# --- files ---


async def test_a_missing_file_is_our_fault_and_is_named(tmp_path):
    missing = str(tmp_path / "no.pem")
    for tls in (Tls(ca_file=missing), Tls(cert_file=missing), Tls(cert_file=str(Path(__file__)), key_file=missing)):
        with serving(servers.silent) as server:
            local(await verdict(Line(tls=tls), server.target), missing, "No such file")


async def test_a_file_without_certificates_is_our_fault_and_is_named(tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    with serving(servers.silent) as server:
        local(await verdict(Line(tls=Tls(ca_file=str(empty))), server.target), str(empty), "PEM")
        local(await verdict(Line(tls=Tls(verify=False, cert_file=str(empty))), server.target), str(empty))


async def test_a_key_of_another_certificate_is_our_fault(tmp_path):
    one, two = authority.certificate("one"), authority.certificate("two")
    one.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    two.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    tls = Tls(verify=False, cert_file=str(tmp_path / "cert.pem"), key_file=str(tmp_path / "key.pem"))
    with serving(servers.silent) as server:
        local(await verdict(Line(tls=tls), server.target), "key.pem", "does not belong")


async def test_an_encrypted_key_is_our_fault_and_asks_nobody_for_a_passphrase(tmp_path):
    from cryptography.hazmat.primitives import serialization

    own = authority.certificate("one")
    key = serialization.load_pem_private_key(own.private_key_pem.bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    form = serialization.PrivateFormat.PKCS8
    (tmp_path / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, locked))
    tls = Tls(verify=False, cert_file=str(tmp_path / "cert.pem"), key_file=str(tmp_path / "key.pem"))
    with serving(servers.silent) as server:
        local(await verdict(Line(tls=tls), server.target), "key.pem", "encrypted")


async def test_a_name_that_tls_cannot_carry_is_our_fault():
    with serving(servers.silent) as server:
        local(await verdict(Line(tls=Tls(server_name=".example.org")), server.target), ".example.org")


# --- nothing lingers ---


def connections_to(port):
    """How many connections of this machine to a loopback port are open at our end (state 01 of /proc/net/tcp)."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(1 for line in lines if (f := line.split())[2].endswith(f":{port:04X}") and f[3] == "01")


async def test_probes_of_a_server_that_never_closes_leave_no_open_connection(ca):
    with serving(over_tls(authority.serving(NAME), servers.accept_only), backlog=256) as server:
        for _ in range(200):
            said = await verdict(Tcp(Tls(ca_file=ca), NAME), server.target)
            assert said.outcome is Outcome.PASS
        assert connections_to(server.port) == 0
