"""The ldap check by transcripts and junk."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks import ber
from checks.ldap import LdapCheck
from healthd.check import Connect, Outcome, Reason, Send, StartTls, Tls, Verdict
from tests.checks.harness import (
    END,
    RESET,
    Channel,
    Item,
    Player,
    Sent,
    at,
    failed,
    passed,
    play,
    same_verdict_for_every_cut,
    single,
    stream,
    whole,
)
from tests.checks.ldap_words import (
    ANONYMOUS_BIND,
    BOUND,
    DONE,
    ROOT_SEARCH,
    START_TLS,
    TLS_BEGINS,
    UNBIND,
    entry,
    message,
    reference,
    referral,
    result,
)

ROOT = LdapCheck()
JOE = LdapCheck(user="cn=joe", password="xyzzy")
TREE = LdapCheck(base="dc=a", scope="sub", attributes=("mail",))


def answers(*found: bytes, done: bytes = DONE) -> list[Channel]:
    """A server that lets everybody bind and answers the search with what was found."""
    return [stream(BOUND, b"".join(found) + done)]


def verdict_on(check: LdapCheck, *found: bytes, done: bytes = DONE) -> Verdict:
    return same_verdict_for_every_cut(check, lambda: answers(*found, done=done), length=40)


def test_a_bind_a_search_and_a_good_bye():
    script: list[Item] = [Sent(ANONYMOUS_BIND), BOUND, Sent(ROOT_SEARCH), entry(), DONE]
    verdict = same_verdict_for_every_cut(ROOT, lambda: [stream(*script)], length=20)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "success, 1 entry")
    channel = stream(BOUND, entry() + DONE)
    Player([channel]).play(ROOT)
    assert channel.unseen == ANONYMOUS_BIND + ROOT_SEARCH + UNBIND


def test_lengths_may_be_longer_than_they_must():
    long_bound = bytes.fromhex("3084 00000010 020102 6184 00000007 0a0100 0400 0400")
    assert passed(play(ROOT, stream(long_bound, entry() + DONE)))


def test_a_name_and_a_password_are_sent_and_the_password_is_hidden():
    player = Player(answers(entry()))
    assert passed(player.play(JOE))
    bind = next(step for step in player.steps if isinstance(step, Send))
    assert bind.data == bytes.fromhex("3017 020102 6012 020103") + b"\x04\x06cn=joe\x80\x05xyzzy"
    assert bind.data.endswith(bind.hide)
    assert b"xyzzy" in bind.hide
    assert b"xyzzy" not in bind.data.replace(bind.hide, b"")


def test_a_wrong_password_fails_and_we_leave_politely():
    channel = stream(result(2, 0x61, 49, "no"))
    verdict = Player([channel]).play(JOE)
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == "bind: got invalidCredentials (49): no, want success"
    assert channel.unseen.endswith(UNBIND)


def test_a_search_may_do_without_a_bind():
    channel = stream(Sent(ROOT_SEARCH), entry() + DONE)
    assert passed(play(replace(ROOT, bind=False), channel))


def test_tls_may_be_from_the_start_or_after_asking_for_it():
    tls = Tls(server_name="a.example")
    player = Player(answers(entry()))
    assert passed(player.play(replace(ROOT, tls=tls)))
    assert player.steps[0] == Connect(tls, speaks=True)
    later = replace(ROOT, starttls=tls)
    script: list[Item] = [Sent(START_TLS), TLS_BEGINS, Sent(ANONYMOUS_BIND), BOUND, Sent(ROOT_SEARCH), entry() + DONE]
    assert passed(same_verdict_for_every_cut(later, lambda: [stream(*script)], length=20))
    player = Player([stream(*script)])
    player.play(later)
    assert [step for step in player.steps if isinstance(step, Connect | StartTls)] == [
        Connect(speaks=True),
        StartTls(tls),
    ]


def test_what_a_server_says_before_tls_does_not_count():
    """Otherwise somebody on the way could have said it (CVE-2011-0411 is the same of SMTP)."""
    verdict = play(replace(ROOT, starttls=Tls()), stream(TLS_BEGINS + BOUND))
    assert (verdict.reason, verdict.detail) == (Reason.PROTOCOL, "server spoke on before TLS began")


def test_a_server_that_will_not_speak_tls_gets_no_password():
    channel = stream(result(1, 0x78, 2, "unsupported extended operation"))
    verdict = Player([channel]).play(replace(JOE, starttls=Tls()))
    assert verdict.detail == "StartTLS: got protocolError (2): unsupported extended operation, want success"
    assert channel.unseen == START_TLS + UNBIND


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, 1),
        ({"min_entries": 0}, 1),
        ({"min_entries": 7}, 7),
        ({"min_entries": 1, "max_entries": 3}, 4),
        ({"expect_dn": "a"}, 0),
    ],
)
def test_no_more_entries_are_asked_for_than_the_verdict_takes(options: dict[str, object], limit: int):
    player = Player([stream(BOUND)])
    player.play(replace(ROOT, **options))  # type: ignore[arg-type]
    search = [step.data for step in player.steps if isinstance(step, Send)][-1]
    elements = ber.Elements(ber.Elements(search).take(0x30))
    elements.take_integer()
    asked = ber.Elements(elements.take(0x63))
    asked.take(4)
    assert (asked.take_integer(0x0A), asked.take_integer(0x0A), asked.take_integer()) == (0, 2, limit)


@pytest.mark.parametrize(
    ("options", "count", "outcome", "detail"),
    [
        ({}, 0, Outcome.FAIL, "got 0 entries, want 1 or more"),
        ({}, 1, Outcome.PASS, "success, 1 entry"),
        ({"min_entries": 3}, 2, Outcome.FAIL, "got 2 entries, want 3 or more"),
        ({"min_entries": 3}, 3, Outcome.PASS, "success, 3 entries"),
        ({"min_entries": 0}, 0, Outcome.PASS, "success, 0 entries"),
        ({"max_entries": 2}, 2, Outcome.PASS, "success, 2 entries"),
        ({"max_entries": 2}, 3, Outcome.FAIL, "got 3 entries, want 1 to 2"),
        ({"max_entries": 0}, 1, Outcome.FAIL, "got 1 entry, want 0"),
        ({"max_entries": 0}, 0, Outcome.PASS, "success, 0 entries"),
    ],
)
def test_entries_are_counted(options: dict[str, object], count: int, outcome: Outcome, detail: str):
    check = replace(TREE, **options)  # type: ignore[arg-type]
    verdict = verdict_on(check, *(entry(f"cn={n}") for n in range(count)))
    assert (verdict.outcome, verdict.detail) == (outcome, detail)


def test_only_entries_that_match_count():
    found = [entry("cn=a,dc=x", mail=("a@x",)), entry("cn=b,dc=x", mail=("b@x", "c@y")), entry("cn=ö,dc=x")]
    one = verdict_on(replace(TREE, expect_dn="^cn=b"), *found)
    assert (one.outcome, one.detail) == (Outcome.PASS, "success, 1 matching entry of 3")
    assert passed(verdict_on(replace(TREE, expect_dn="^cn=.,dc=x$", min_entries=3), *found))
    assert passed(verdict_on(replace(TREE, expect="@y$"), *found))
    assert passed(verdict_on(replace(TREE, expect_dn="cn=b", expect="^b@"), *found))
    none = verdict_on(replace(TREE, expect_dn="cn=a", expect="^b@"), *found)
    assert failed(none, Reason.UNEXPECTED)
    assert none.detail == "got 0 matching entries of 3, want 1 or more: expect '^b@' does not match: got 'a@x'"


def test_ldirectord_s_rule_is_one_entry_whose_dn_matches():
    check = LdapCheck(base="cn=x", min_entries=1, max_entries=1, expect_dn="x")
    assert passed(verdict_on(check, entry("cn=x")))
    assert verdict_on(check, entry("cn=y")).detail == (
        "got 0 matching entries of 1, want 1: expect_dn 'x' does not match: got 'cn=y'"
    )
    assert failed(verdict_on(check), Reason.UNEXPECTED)


def test_an_entry_without_the_attribute_does_not_match():
    verdict = verdict_on(replace(TREE, expect="."), entry("cn=a"))
    assert verdict.detail.endswith("expect '.' does not match: got no value")


@pytest.mark.parametrize(
    ("code", "text"),
    [(32, "noSuchObject (32)"), (51, "busy (51)"), (52, "unavailable (52)"), (99, "unknown result (99)")],
)
def test_how_a_search_ended_is_told_by_name(code: int, text: str):
    verdict = verdict_on(ROOT, entry(), done=result(3, 0x65, code))
    assert (verdict.reason, verdict.detail) == (Reason.UNEXPECTED, f"search: got {text}, want success")


def test_another_result_may_be_the_right_one():
    check = replace(TREE, result=("noSuchObject", "insufficientAccessRights"))
    assert verdict_on(check, done=result(3, 0x65, 32)).detail == "noSuchObject, 0 entries"
    assert verdict_on(check).detail == "search: got success (0), want noSuchObject, insufficientAccessRights"


def test_a_limit_of_our_own_is_no_failure_and_one_of_the_server_s_is():
    limited = result(3, 0x65, 4)
    enough = verdict_on(replace(TREE, min_entries=2), entry("cn=a"), entry("cn=b"), done=limited)
    assert (enough.outcome, enough.detail) == (Outcome.PASS, "success, 2 entries and more")
    verdict = verdict_on(replace(TREE, min_entries=3), entry("cn=a"), entry("cn=b"), done=limited)
    assert verdict.detail == "search: got sizeLimitExceeded (4), want success"
    everything = replace(TREE, expect_dn="cn")
    assert failed(verdict_on(everything, entry("cn=a"), done=limited), Reason.UNEXPECTED)


def test_a_limit_may_be_the_right_result_too():
    limited = result(3, 0x65, 4)
    wanted = replace(TREE, result=("sizeLimitExceeded",))
    assert verdict_on(wanted, entry("cn=a"), done=limited).detail == "sizeLimitExceeded, 1 entry"
    assert passed(verdict_on(wanted, done=limited))
    assert verdict_on(wanted, entry("cn=a")).detail == "search: got success (0), want sizeLimitExceeded"
    either = replace(TREE, result=("success", "sizeLimitExceeded"))
    assert passed(verdict_on(either, entry("cn=a"), done=limited))


def test_referrals_are_told_and_not_followed():
    away = verdict_on(TREE, done=result(3, 0x65, 10, "", referral("ldap://b/dc=a", "ldap://c/dc=a")))
    assert away.detail == "search: got referral (10) to ldap://b/dc=a ldap://c/dc=a, want success"
    part = verdict_on(TREE, reference("ldap://b/ou=x"))
    assert part.detail == "got 0 entries, want 1 or more; referred to ldap://b/ou=x"
    assert passed(verdict_on(TREE, entry("cn=a"), reference("ldap://b/ou=x")))
    bound = play(ROOT, stream(result(2, 0x61, 10, "elsewhere", referral("ldap://b"))))
    assert bound.detail == "bind: got referral (10) to ldap://b: elsewhere, want success"


def test_a_server_that_says_it_disconnects_fails():
    notice = result(0, 0x78, 52, "shutting down", ber.pack_text("1.3.6.1.4.1.1466.20036", 0x8A))
    for script in ([notice], [BOUND, notice], [BOUND, entry() + notice]):
        verdict = play(ROOT, stream(*script))
        assert failed(verdict, Reason.UNEXPECTED)
        assert verdict.detail == "server disconnects: unavailable (52): shutting down"


def test_other_things_said_unasked_are_ignored():
    other = result(0, 0x78, 0, "news", ber.pack_text("1.2.3", 0x8A))
    assert passed(play(ROOT, stream(other + BOUND, other + entry() + other + DONE)))
    endless = play(replace(ROOT, max_bytes=1024), stream(other * 200, BOUND))
    assert (endless.reason, endless.detail) == (Reason.PROTOCOL, "answer is longer than 1024 bytes")


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ([DONE], "got end of a search to message 3, want one to 2"),
        ([result(2, 0x65, 0)], "bind: got end of a search, want bind response"),
        ([BOUND, result(3, 0x61, 0)], "got bind response to a search"),
        ([BOUND, BOUND], "got bind response to message 2, want one to 3"),
        ([BOUND, entry(number=7)], "got entry to message 7, want one to 3"),
        ([ANONYMOUS_BIND], "bind: got message of kind 0x60, want bind response"),
        ([b"HTTP/1.1 400 Bad Request\r\n"], "answer is not LDAP: it begins with 0x48 instead of 0x30"),
        ([b"220 mail ESMTP\r\n"], "answer is not LDAP: it begins with 0x32 instead of 0x30"),
        ([b"\x30\x80"], "answer is not LDAP: indefinite length"),
        ([b"\x30\x00"], "answer is not LDAP: element 0x02 is missing"),
        ([b"\x30\x03\x02\x01\x02"], "answer is not LDAP: an element is missing"),
        ([message(2, 0x61)], "answer is not LDAP: element 0x0a is missing"),
        ([BOUND, message(3, 0x64, b"\x04\x05ab")], "answer is not LDAP: element is longer than what it is in"),
        ([END], "connection closed without an answer"),
        ([BOUND, END], "connection closed without an answer"),
        ([BOUND, entry(), END], "connection closed without an answer"),
        ([BOUND, entry() + DONE[:4], END], "connection closed after 2 bytes, 12 expected"),
        ([b"\x30\x84\x7f\xff\xff\xff"], "answer is longer than 1048576 bytes"),
    ],
)
def test_what_is_not_the_answer_fails_for_what_it_is(script: list[Item], detail: str):
    verdict = same_verdict_for_every_cut(ROOT, lambda: [stream(*script)], length=12)
    assert failed(verdict, Reason.PROTOCOL)
    assert verdict.detail == detail


def test_an_empty_search_does_not_pass():
    assert failed(play(ROOT, *answers()), Reason.UNEXPECTED)
    assert failed(play(ROOT, stream(BOUND)), Reason.TIMEOUT)
    assert failed(play(ROOT, stream(BOUND, entry())), Reason.TIMEOUT)
    assert failed(play(ROOT, stream()), Reason.TIMEOUT)


def test_a_search_s_answer_is_read_to_a_bound():
    check = replace(TREE, max_bytes=1024, min_entries=1)
    assert passed(play(check, *answers(*[entry("cn=a", mail=("x" * 60,))] * 8)))
    for found in (entry("cn=a", mail=("x" * 60,)), reference("ldap://b"), reference("")):
        verdict = play(check, stream(BOUND, *[found] * 200))
        assert (verdict.reason, verdict.detail) == (Reason.PROTOCOL, "answer is longer than 1024 bytes")


def test_how_the_server_takes_the_good_bye_does_not_matter():
    player = Player(answers(entry()))
    player.answer = lambda step, answer=player.answer: RESET if step == Send(UNBIND) else answer(step)  # type: ignore[method-assign]
    assert passed(player.play(ROOT))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tls": Tls(), "starttls": Tls()}, "exclude each other"),
        ({"user": "cn=joe"}, "of use together only"),
        ({"user": "cn=joe", "password": ""}, "of use together only"),
        ({"password": "x"}, "of use together only"),
        ({"user": "cn=joe", "password": "x", "bind": False}, "no use without bind"),
        ({"expect": "a"}, "expect needs attributes"),
        ({"expect": "(", "attributes": ("a",)}, "is not a regular expression"),
        ({"expect_dn": "("}, "is not a regular expression"),
        ({"filter": "cn=a"}, r"'\(' is missing"),
        ({"attributes": ("a b",)}, "'a b' is not the name of an attribute"),
        ({"attributes": ("",)}, "'' is not the name of an attribute"),
        ({"result": ()}, "at least one"),
        ({"result": ("ok",)}, "'ok' is not the name of a result"),
        ({"min_entries": 3, "max_entries": 2}, "max_entries is less than min_entries"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        LdapCheck(**options)  # type: ignore[arg-type]


CHECKS = [
    ROOT,
    TREE,
    replace(TREE, expect="a", max_bytes=1024),
    replace(ROOT, starttls=Tls()),
    replace(ROOT, bind=False),
]


@settings(max_examples=max(400, settings().max_examples))
@given(st.sampled_from(CHECKS), st.binary(max_size=60), st.integers(0, 5), st.integers(0, 40), st.data())
def test_junk_gives_one_verdict_and_never_a_pass(
    check: LdapCheck, junk: bytes, where: int, keep: int, data: st.DataObject
):
    """Junk at once, in a message, in an operation, after a good start, and in place of a byte of a good answer."""
    good = entry("cn=a", mail=("b",)) + DONE
    broken = bytearray(good)
    broken[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    late = [
        junk,
        ber.pack(0x30, junk),
        message(3, 0x64, junk),
        good[:keep] + junk,
        bytes(broken),
        message(3, 0x65, b"\x0a\x01\x01" + junk),
    ][where]
    script: list[Item] = ([TLS_BEGINS] if check.starttls else []) + ([BOUND] if check.bind else [])
    verdicts = {play(check, stream(*script, late or b"x", END), cut=cut) for cut in (whole, single, at(keep))}
    assert len(verdicts) == 1
    if where in (1, 2, 5):
        assert not passed(verdicts.pop())
