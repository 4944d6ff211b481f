"""The mail hook: what is mailed, together with what, when, to whom, reminders, a mail server that is away, a reload."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from healthd.config.schema import Config, MailSettings, Stage
from healthd.events import Kind
from healthd.hooks.courier import Retries
from healthd.hooks.mail import MailHook
from healthd.hooks.postbox import Pace, Way, powerless

from .post import post_office
from .samples import WWW, sample, until

PACE = Pace(quiet=0.05, longest=1.0)
DOWN, UP = sample(Kind.SERVER_DOWN), sample(Kind.SERVER_UP)
TO = ("ops@example.org",)


def having(server, *services, **mail):
    """A configuration whose services have mail by this server."""
    settings = replace(MailSettings(TO, "lb@example.org", server), **mail)
    return Config(services=tuple(replace(one, mail=settings) for one in services or (WWW,)))


def hook_for(configured, stage=Stage.RUNNING, **options):
    hook = MailHook(Way(**{"pace": PACE, **options}))
    hook.attach(lambda: stage, tuple)
    hook.configure(configured)
    return hook


def subjects(post):
    return [str(mail["Subject"]) for mail in post.mails]


# --- what is mailed ---------------------------------------------------------------------------------------------


async def test_a_server_that_goes_down_is_mailed():
    async with post_office() as post:
        hook = hook_for(having(post.server))
        hook.event(DOWN)
        await until(lambda: hook.stats().delivered)
        await hook.close(5)
    assert subjects(post) == ["www: 10.0.0.11:80 is down (timeout: no answer within 1 s), weight 0"]
    assert "Daemon-Status:  running" in post.mails[0].get_content()
    assert post.envelopes[0].mail_from == "lb@example.org"


async def test_a_rack_that_dies_is_one_mail_and_closing_does_not_wait_for_more():
    async with post_office() as post:
        hook = hook_for(having(post.server), pace=Pace(3600, 7200))
        for number in range(40):
            hook.event(replace(DOWN, real=f"10.0.1.{number}:80", message=f"www: 10.0.1.{number}:80 is down"))
        assert hook.stats().queued == 40
        await hook.close(20)
    assert subjects(post) == ["40 servers down: www"]
    text = post.mails[0].get_content()
    assert all(f"www: 10.0.1.{number}:80 is down" in text for number in range(40))
    assert hook.stats().delivered == 40


async def test_what_goes_on_and_on_does_not_hold_a_mail_back_for_ever():
    async with post_office() as post:
        hook = hook_for(having(post.server), pace=Pace(0.1, 0.3))
        for number in range(4000):
            hook.event(replace(DOWN, real=f"10.0.1.{number % 200}:80"))
            if hook.stats().delivered:
                break
            await asyncio.sleep(0.01)
        assert hook.stats().delivered
        await hook.close(20)


@pytest.mark.parametrize("kind", [kind for kind in Kind if sample(kind).service])
async def test_which_kinds_are_mailed(kind):
    """As ldirectord: changes of rows; and a service that is without a server. Nothing of what changed no row."""
    mailed = {"server-unsure", "server-sure", "service-added", "drift", "row-refused"}
    mailed |= {"server-failing", "server-steady", "server-changed", "fallback-changed", "service-changed"}
    async with post_office() as post:
        hook = hook_for(having(post.server))
        hook.event(sample(kind))
        await hook.close(20)
    assert len(post.envelopes) == (kind.value not in mailed)


async def test_what_changed_no_row_is_not_mailed():
    """A server that is drained may go down and come up, and nobody is sent anywhere else for it."""
    drained = replace(sample(Kind.SERVER_ADMIN), weight=0)
    async with post_office() as post:
        hook = hook_for(having(post.server))
        hook.event(drained)
        hook.event(replace(DOWN, weight=0, effect=()))
        hook.event(replace(UP, weight=0, effect=()))
        hook.event(replace(UP, real="10.0.0.12:80", previous="down", weight=0, effect=()))
        hook.event(replace(DOWN, real="10.0.0.13:80", previous="unknown", weight=None, effect=()))
        await hook.close(20)
    assert [mail["X-Healthd-Kind"] for mail in post.mails] == ["server-admin"]


async def test_a_row_that_changed_in_a_plan_that_broke_off_is_mailed_all_the_same():
    """The event comes once the table is back, and no operation is left to be named."""
    async with post_office() as post:
        hook = hook_for(having(post.server))
        hook.event(replace(UP, weight=10))
        hook.event(replace(DOWN, weight=0, effect=()))
        hook.event(replace(DOWN, real="10.0.0.12:80", previous="up", weight=0, effect=()))
        await hook.close(20)
    assert subjects(post) == ["2 servers down, 1 server up: www"]


async def test_a_service_without_mail_is_not_mailed():
    async with post_office() as post:
        hook = hook_for(having(post.server, to=()))
        hook.event(DOWN)
        hook.event(replace(DOWN, service="another"))
        await hook.close(20)
    assert post.envelopes == []


@pytest.mark.parametrize("stage", list(Stage))
async def test_mail_is_sent_at_the_stages_named(stage):
    async with post_office() as post:
        hook = hook_for(having(post.server, during=frozenset({Stage.RUNNING, Stage.STOPPING})), stage)
        hook.event(DOWN)
        await hook.close(20)
    assert len(post.envelopes) == (stage in (Stage.RUNNING, Stage.STOPPING))


async def test_before_it_is_attached_the_daemon_starts():
    async with post_office() as post:
        hook = MailHook(Way(PACE))
        hook.configure(having(post.server, during=frozenset({Stage.STARTING})))
        hook.event(DOWN)
        await hook.close(20)
    assert "Daemon-Status:  starting" in post.mails[0].get_content()


async def test_services_with_the_same_people_share_a_mail_and_others_do_not():
    """Reminders and stages make no difference to where mail goes."""
    dns, shop = replace(WWW, name="dns"), replace(WWW, name="shop")
    async with post_office() as post:
        first, second = having(post.server, WWW).services[0], having(post.server, dns, reminder=60.0).services[0]
        third = having(post.server, shop, to=("shop@example.org",)).services[0]
        hook = hook_for(Config(services=(first, second, third)))
        for name in ("www", "dns", "shop"):
            hook.event(replace(DOWN, service=name))
        await hook.close(20)
    assert sorted((mail["To"], mail["Subject"][:20]) for mail in post.mails) == [
        ("ops@example.org", "2 servers down: www,"),
        ("shop@example.org", "www: 10.0.0.11:80 is"),
    ]


# --- trouble with the mail server -------------------------------------------------------------------------------


async def test_closing_tries_once_more_for_those_who_were_put_off():
    async with post_office() as post:
        post.replies = {"busy@example.org": "451 later"}
        hook = hook_for(having(post.server, to=("ops@example.org", "busy@example.org")))
        hook.event(DOWN)
        await until(lambda: "puts off mail for busy@example.org" in hook.stats().last_error)
        assert hook.stats().queued == 1
        post.replies = {}
        await hook.close(20)  # ends the pause
    assert [envelope.rcpt_tos for envelope in post.envelopes] == [["ops@example.org"], ["busy@example.org"]]
    assert hook.stats().delivered == 1


async def test_a_retry_is_the_same_mail_to_those_who_are_left():
    async with post_office() as post:
        post.replies = {"busy@example.org": "451 later"}
        hook = hook_for(having(post.server, to=("ops@example.org", "busy@example.org")), retries=Retries(5, 0.01, 0.01))
        hook.event(DOWN)
        await until(lambda: hook.stats().retries)
        post.replies = {}
        await until(lambda: hook.stats().delivered)
        await hook.close(20)
    assert [envelope.rcpt_tos for envelope in post.envelopes] == [["ops@example.org"], ["busy@example.org"]]
    assert len({mail["Message-ID"] for mail in post.mails}) == 1
    assert {mail["To"] for mail in post.mails} == {"ops@example.org, busy@example.org"}


async def test_a_recipient_who_is_refused_is_logged_and_the_mail_counts_as_sent(caplog):
    async with post_office() as post:
        post.replies = {"gone@example.org": "550 no such user"}
        hook = hook_for(having(post.server, to=("ops@example.org", "gone@example.org")))
        hook.event(DOWN)
        await until(lambda: hook.stats().delivered)
        await hook.close(20)
    assert f"{post.server} refuses mail for gone@example.org: 550 no such user" in caplog.messages


async def test_what_is_refused_for_good_is_not_tried_again(caplog):
    async with post_office() as post:
        post.data_reply = "554 it is spam"
        hook = hook_for(having(post.server))
        hook.event(DOWN)
        await until(lambda: hook.stats().failed)
        await hook.close(20)
    assert post.sessions == 1
    assert hook.stats().retries == 0
    assert any("given up" in message and "554 it is spam" in message for message in caplog.messages)


async def test_what_piled_up_while_the_server_was_away_comes_as_one_mail():
    async with post_office() as post:
        post.data_reply = "451 not now"
        hook = hook_for(having(post.server), retries=Retries(1000, 0.02, 0.02))
        hook.event(DOWN)
        await until(lambda: hook.stats().retries)
        for number in range(20):
            hook.event(replace(DOWN, real=f"10.0.1.{number}:80"))
        assert hook.stats().queued == 21
        assert "451 not now" in hook.stats().last_error
        post.data_reply = ""
        await until(lambda: hook.stats().delivered == 21)
        await hook.close(20)
    assert [subject[:12] for subject in subjects(post)] == ["www: 10.0.0.", "20 servers d"]


# --- the machine's own mailer -----------------------------------------------------------------------------------


def mailer(tmp_path, ending="exit 0"):
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\ncat >{tmp_path}/mail\n{ending}\n')
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("sender", "arguments"), [("Lb <lb@example.org>", "-t -oi -f lb@example.org"), (None, "-t -oi")]
)
async def test_without_a_server_the_machines_own_mailer_has_it(tmp_path, sender, arguments):
    hook = hook_for(having(None, sender=sender, to=("root", "ops@example.org")), mailer=mailer(tmp_path))
    hook.event(DOWN)
    await until(lambda: hook.stats().delivered)
    await hook.close(20)
    text = (tmp_path / "mail").read_bytes()
    assert (tmp_path / "arguments").read_text().strip() == arguments
    assert b"\nTo: root, ops@example.org\n" in text
    assert b"\r" not in text
    assert b"\nSubject: www: 10.0.0.11:80 is down" in text


async def test_a_mailer_that_fails_is_told(tmp_path):
    hook = hook_for(having(None), mailer=mailer(tmp_path, "echo 'queue is full' >&2; exit 75"))
    hook.event(DOWN)
    await until(lambda: "exit status 75: queue is full" in hook.stats().last_error)
    await hook.close(20)


async def test_a_machine_without_a_mailer_is_told(tmp_path, caplog):
    hook = hook_for(having(None), mailer=f"{tmp_path}/none")
    hook.event(DOWN)
    await until(lambda: hook.stats().last_error)
    await hook.close(20)
    assert any("install a mailer or name a server" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("mode", "kept", "told"), [(0o2755, 1, True), (0o4755, 1, True), (0o755, 1, False), (0o2755, 0, False)]
)
def test_a_mailer_that_cannot_gain_its_rights_under_the_unit_is_explained(tmp_path, mode, kept, told):
    """Postfix's and Exim's cannot under NoNewPrivileges=yes, and what they say themselves helps nobody."""
    program, status = tmp_path / "sendmail", tmp_path / "status"
    program.write_text("")
    program.chmod(mode)
    status.write_text(f"Name:\thealthd\nNoNewPrivs:\t{kept}\nSeccomp:\t0\n")
    assert ("name a server, such as localhost" in powerless(str(program), str(status))) is told
    assert powerless(str(tmp_path / "none"), str(status)) == ""


# --- reload -----------------------------------------------------------------------------------------------------


async def test_a_service_that_a_reload_takes_out_is_mailed_once_it_is_gone():
    gone = sample(Kind.SERVICE_REMOVED)
    async with post_office() as post:
        hook = hook_for(having(post.server))
        hook.configure(Config())
        hook.event(gone)
        hook.event(DOWN)  # somebody else's by now
        await until(lambda: hook.stats().delivered)
        await hook.close(20)
    assert subjects(post) == ["www: 192.0.2.80:80/tcp removed from the table"]


async def test_a_reload_that_changes_nothing_of_it_keeps_the_queue():
    async with post_office() as post:
        hook = hook_for(having(post.server), pace=Pace(3600, 7200))
        hook.event(DOWN)
        hook.configure(having(post.server, replace(WWW, comment="new"), reminder=60.0))
        hook.event(UP)
        await hook.close(20)
    assert subjects(post) == ["1 server down, 1 server up: www"]


async def test_mail_that_goes_another_way_after_a_reload_leaves_first_what_waits():
    async with post_office() as post:
        hook = hook_for(having(post.server), pace=Pace(3600, 7200))
        hook.event(DOWN)
        hook.configure(having(post.server, to=("new@example.org",)))
        hook.event(UP)
        await until(lambda: hook.stats().delivered == 1)
        await hook.close(20)
    assert [mail["To"] for mail in post.mails] == ["ops@example.org", "new@example.org"]
    assert hook.stats().delivered == 2
