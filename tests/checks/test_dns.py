"""The dns check by transcripts: its questions, its judgement of answers, truncation, strangers' datagrams and junk."""

from __future__ import annotations

from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.dns import DnsCheck
from healthd.check import Connect, Datagram, Outcome, Reason, Tls
from tests.checks.harness import (
    END,
    Player,
    at,
    datagrams,
    failed,
    passed,
    play,
    single,
    stream,
    whole,
)

NAME = "www.example.com."


def answer(
    *records: str, rcode: str = "NOERROR", flags: str = "", name: str = NAME, edit: Callable[[bytes], bytes] = bytes
) -> Callable[[bytes], bytes]:
    """A server's answer to whatever is asked. records: as in a zone file, "www 60 IN A 192.0.2.1"."""

    def reply(query: bytes) -> bytes:
        message = dns.message.make_response(dns.message.from_wire(query))
        message.set_rcode(dns.rcode.from_text(rcode))
        message.flags |= dns.flags.from_text(flags)
        for record in records:
            owner, ttl, group, kind, data = record.split(" ", 4)
            message.answer.append(dns.rrset.from_text(owner, int(ttl), group, kind, data))
        return edit(message.to_wire(prefer_truncation=False))

    return reply


def over_stream(reply: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """The same with two bytes of length before each message."""

    def framed(query: bytes) -> bytes:
        assert int.from_bytes(query[:2], "big") == len(query) - 2
        data = reply(query[2:])
        return len(data).to_bytes(2, "big") + data

    return framed


A = answer(f"{NAME} 60 IN A 192.0.2.1")
TWO = answer(f"{NAME} 60 IN A 192.0.2.1", f"{NAME} 60 IN A 192.0.2.2")


def asked(check: DnsCheck) -> dns.message.Message:
    channel = datagrams()
    Player([channel]).play(check)
    return dns.message.from_wire(channel.unseen)


def test_the_question_is_as_the_options_say():
    query = asked(DnsCheck("version.bind", record="txt", record_class="ch", recursion=False))
    assert str(query.question[0]) == "version.bind. CH TXT"
    assert query.edns == -1
    assert dns.flags.to_text(query.flags) == ""
    full = asked(DnsCheck(NAME, dnssec=True, authenticated=True))
    assert dns.flags.to_text(full.flags) == "RD AD"
    assert (full.edns, full.payload, full.ednsflags) == (0, 1232, dns.flags.DO)


def test_an_address_may_be_asked_for_by_ptr():
    assert str(asked(DnsCheck("192.0.2.1", record="PTR")).question[0].name) == "1.2.0.192.in-addr.arpa."
    assert str(asked(DnsCheck("2001:db8::1", record="ptr")).question[0].name).endswith(".8.b.d.0.1.0.0.2.ip6.arpa.")
    assert str(asked(DnsCheck("host.example", record="PTR")).question[0].name) == "host.example."


def test_every_question_has_an_id_of_its_own():
    assert len({asked(DnsCheck(NAME)).id for _ in range(50)}) > 40


def test_the_shared_port_is_used_because_answers_are_recognised():
    player = Player([datagrams(A)])
    player.play(DnsCheck(NAME))
    assert player.steps[0] == Datagram(own_port=False)


def test_a_right_answer_passes():
    verdict = play(DnsCheck(NAME), datagrams(TWO))
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "NOERROR, 2 records")


def test_the_case_of_the_name_is_no_matter():
    assert passed(play(DnsCheck("WWW.example.COM"), datagrams(lambda q: A(q.replace(b"WWW", b"wWw")))))


def test_the_rcode_must_be_among_those_asked_for():
    verdict = play(DnsCheck(NAME), datagrams(answer(rcode="SERVFAIL")))
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == "got SERVFAIL, want NOERROR"
    assert passed(play(DnsCheck(NAME, rcode=("NXDOMAIN", "refused")), datagrams(answer(rcode="REFUSED"))))


def test_an_extended_rcode_is_no_noerror():
    assert play(DnsCheck(NAME, edns=True), datagrams(answer(rcode="BADVERS"))).detail == "got BADVERS, want NOERROR"


def test_an_empty_answer_is_no_answer_unless_it_is_asked_for():
    assert play(DnsCheck(NAME), datagrams(answer())).detail == "got 0 records, want 1 or more"
    assert passed(play(DnsCheck(NAME, min_answers=0), datagrams(answer())))
    assert passed(play(DnsCheck(NAME, rcode=("NXDOMAIN",)), datagrams(answer(rcode="NXDOMAIN"))))
    assert failed(play(DnsCheck(NAME, min_answers=3), datagrams(TWO)), Reason.UNEXPECTED)


@pytest.mark.parametrize(("option", "flag"), [("authoritative", "AA"), ("authenticated", "AD")])
def test_flags_must_be_there_if_asked_for(option: str, flag: str):
    record = f"{NAME} 60 IN A 192.0.2.1"
    check = DnsCheck(NAME, **{option: True})
    assert passed(play(check, datagrams(answer(record, flags=flag))))
    verdict = play(check, datagrams(answer(record)))
    assert failed(verdict, Reason.UNEXPECTED)
    assert f"no {flag} flag" in verdict.detail


def test_expect_matches_any_record_of_the_type():
    chain = answer(f"{NAME} 60 IN CNAME a.example.", "a.example. 60 IN A 192.0.2.7")
    assert passed(play(DnsCheck(NAME, expect=r"\.7$"), datagrams(chain)))
    verdict = play(DnsCheck(NAME, expect="example"), datagrams(chain))
    assert verdict.detail == "expect 'example' does not match: got 192.0.2.7"


@pytest.mark.parametrize(
    ("expect", "matches"), [(r"^www\.example$", True), (r"^www\.example\.$", True), ("ftp", False)]
)
def test_expect_may_leave_out_the_final_dot_of_a_name(expect: str, matches: bool):
    check = DnsCheck("192.0.2.1", record="PTR", expect=expect)
    there = answer("1.2.0.192.in-addr.arpa. 60 IN PTR www.example.")
    assert passed(play(check, datagrams(there))) is matches


def test_answers_are_a_set_without_order():
    assert passed(play(DnsCheck(NAME, answers=("192.0.2.2", "192.0.2.1")), datagrams(TWO)))
    verdict = play(DnsCheck(NAME, answers=("192.0.2.1",)), datagrams(TWO))
    assert verdict.detail == "got 192.0.2.1, 192.0.2.2, want 192.0.2.1"


def test_answers_are_compared_as_dns_compares_them():
    mail = answer("example.com. 60 IN MX 10 Mail.Example.COM.")
    assert passed(play(DnsCheck("example.com", record="MX", answers=("10 mail.example.com.",)), datagrams(mail)))
    text = answer('example.com. 60 IN TXT "v=spf1 -all"')
    assert passed(play(DnsCheck("example.com", record="txt", answers=('"v=spf1 -all"',)), datagrams(text)))


def test_what_is_not_the_answer_is_ignored_and_the_answer_still_counts():
    strangers = [
        lambda q: b"",
        lambda q: b"\0" * 12,
        lambda q: bytes([q[0] ^ 1]) + A(q)[1:],
        lambda q: q,
        answer(rcode="REFUSED", edit=lambda w: w.replace(b"\x03www", b"\x03ftp")),
        answer(rcode="REFUSED", edit=lambda w: w.replace(b"\0\0\1\0\1", b"\0\0\2\0\1")),
        answer(rcode="REFUSED", edit=lambda w: w[:2] + bytes([w[2] | 0x28]) + w[3:]),
        lambda q: q[:2] + b"\x81\x80" + b"\0" * 8,
    ]

    seen: list[bytes] = []

    def remember(query: bytes) -> bytes:
        seen.append(query)
        return b"?"

    script = [remember, *((lambda _q, make=make: make(seen[0]) or b"x") for make in strangers), lambda _q: A(seen[0])]
    assert passed(play(DnsCheck(NAME), datagrams(*script)))
    assert failed(play(DnsCheck(NAME), datagrams(*script[:-1])), Reason.TIMEOUT)


def test_an_error_may_come_without_its_question():
    verdict = play(DnsCheck(NAME), datagrams(lambda q: q[:2] + b"\x81\x81" + b"\0" * 8))
    assert verdict.detail == "got FORMERR, want NOERROR"


def test_a_truncated_answer_is_asked_for_again_over_tcp():
    player = Player([datagrams(answer(flags="TC")), stream(over_stream(A))])
    assert passed(player.play(DnsCheck(NAME, expect="192")))
    assert [type(step).__name__ for step in player.steps[:4]] == ["Datagram", "Send", "Receive", "Connect"]


@pytest.mark.parametrize("tls", [None, Tls(server_name="dns.example.net")])
def test_tcp_and_tls_frame_the_question_and_every_cut_of_the_answer_is_the_same(tls: Tls | None):
    check = DnsCheck(NAME, tcp=True, tls=tls, answers=("192.0.2.1",))
    cuts = [whole, single, *(at(place) for place in range(1, 52))]
    players = [Player([stream(over_stream(A))], cut) for cut in cuts]
    assert {player.play(check).detail for player in players} == {"NOERROR, 1 record"}
    assert players[0].steps[0] == Connect(tls, speaks=True)


def test_a_stream_that_breaks_off_or_strays_fails():
    check = DnsCheck(NAME, tcp=True)
    assert failed(play(check, stream(END)), Reason.PROTOCOL)
    assert failed(play(check, stream(b"\0\x20abc", END)), Reason.PROTOCOL)
    stranger = play(check, stream(over_stream(lambda q: bytes([q[0] ^ 1]) + A(q)[1:])))
    assert (stranger.reason, stranger.detail) == (Reason.PROTOCOL, "answer does not belong to the question")


def test_a_malformed_answer_fails_where_its_records_are_asked_about():
    broken = answer(f"{NAME} 60 IN A 192.0.2.1", edit=lambda w: w[:-2])
    assert failed(play(DnsCheck(NAME, expect="192"), datagrams(broken)), Reason.PROTOCOL)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "a..b"}, "'a..b' is not a domain name"),
        ({"name": "x" * 64}, "is not a domain name"),
        ({"record": "FOO"}, "'FOO' is not a type of record"),
        ({"record": "AXFR"}, "cannot be asked for"),
        ({"record": "OPT"}, "cannot be asked for"),
        ({"record_class": "XX"}, "is not a class"),
        ({"rcode": ("NOPE",)}, "'NOPE' is not an rcode"),
        ({"rcode": ()}, "at least one"),
        ({"answers": ("1.2.3",)}, "answers: '1.2.3' is not a record of type A"),
        ({"expect": "("}, "is not a regular expression"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        DnsCheck(**{"name": NAME, **options})  # type: ignore[arg-type]


CHECKS = [
    DnsCheck(NAME),
    DnsCheck(NAME, expect="a", edns=True),
    DnsCheck(NAME, answers=("192.0.2.1",)),
    DnsCheck(NAME, record="ANY", expect="x", min_answers=0),
]


@settings(max_examples=max(400, settings().max_examples))
@given(st.sampled_from(CHECKS), st.binary(max_size=200), st.integers(0, 8), st.integers(0, 40), st.booleans())
def test_junk_gives_a_verdict(check: DnsCheck, junk: bytes, header: int, keep: int, tcp: bool):
    """Junk from the first byte, after the header, after the question, and in place of bytes of a good answer."""

    def reply(query: bytes) -> bytes:
        good = TWO(query)
        start = good[:2] + b"\x81\x80\0\1" + junk[:6].ljust(6, b"\1") + query[12:]
        return [junk, query[:2] + junk, start + junk, good[:-keep] + junk if keep else junk][header % 4] or b"x"

    one = DnsCheck(**{f: getattr(check, f) for f in check.__slots__ if not f.startswith("_")} | {"tcp": True})
    if tcp:
        assert (
            len({passed(play(one, stream(over_stream(reply), END), cut=cut)) for cut in (whole, single, at(keep))}) == 1
        )
    else:
        play(check, datagrams(reply), stream(over_stream(reply), END))
