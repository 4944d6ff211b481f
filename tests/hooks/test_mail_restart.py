"""Mail that waits lives through a kill and a stop, is sent once by the next healthd, and only if it is news."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace

from healthd.config.schema import Config, MailSettings
from healthd.hooks.courier import Retries
from healthd.hooks.mail import MailHook
from healthd.hooks.postbox import Pace, Way

from .messages import down, kept, up
from .post import post_office
from .samples import WWW, until

WAY = Way(Pace(quiet=0.05, longest=0.2), Retries(1000, first=0.05, most=0.05))


def mailing(server: str, store, **mail) -> MailHook:
    """A hook that mails by this server."""
    settings = replace(MailSettings(("ops@example.org",), "lb@example.org", server), **mail)
    hook = MailHook(WAY, store)
    hook.configure(Config(services=(replace(WWW, mail=settings),)))
    return hook


async def kill(hook: MailHook) -> None:
    """End it as a kill does, once the shelf has what it was given."""
    tasks = [box._collector._task for box in hook._boxes.values()] + [hook._bag._shelving._task]
    for task in filter(None, tasks):
        task.cancel()
        await asyncio.wait({task})


async def away() -> str:
    """A mail server that is not there."""
    async with post_office() as post:
        return post.server


async def test_mail_that_waits_when_healthd_is_killed_is_sent_by_the_next(store):
    first = mailing(await away(), store)
    for event in (down(1), down(2), up(2)):
        first.event(event)
    await kept(store, 2, "mail")
    await kill(first)
    async with post_office() as post:
        second = mailing(post.server, store)
        await until(lambda: post.envelopes)
        await kept(store, 0, "mail")
        await second.close(20)
    (mail,) = post.mails
    assert "1 server down, 1 server up" in mail["Subject"]
    assert "is down" in mail.get_content()


async def test_an_orderly_stop_says_what_waits_and_keeps_it(store, caplog):
    caplog.set_level(logging.INFO)
    first = mailing(await away(), store)
    first.event(down(1))
    await until(lambda: first.stats().last_error)
    await first.close(0.5)
    assert "mail: 1 event waits for the next start" in caplog.messages
    await kept(store, 1, "mail")
    async with post_office() as post:
        second = mailing(post.server, store)
        await until(lambda: post.envelopes)
        await second.close(20)
    await kept(store, 0, "mail")


async def test_mail_that_was_sent_or_refused_for_good_is_not_kept(store):
    async with post_office() as post:
        hook = mailing(post.server, store)
        hook.event(down(1))
        await until(lambda: hook.stats().delivered == 1)
        await kept(store, 0, "mail")
        post.data_reply = "550 never"
        hook.event(down(2))
        await until(lambda: hook.stats().failed == 1)
        await kept(store, 0, "mail")
        await hook.close(20)
    assert len(post.envelopes) == 1


async def test_what_is_old_or_of_a_service_without_mail_is_not_sent(store):
    first = mailing(await away(), store)
    first.event(replace(down(1), at=time.time() - 86_500))
    first.event(down(2))
    await kept(store, 2, "mail")
    await kill(first)
    second = mailing(await away(), store, to=())
    await kept(store, 0, "mail")
    assert second.stats().queued == 0
    await second.close(1)
