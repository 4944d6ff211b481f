"""The generated parts of docs/hooks.md: what each template sends; every kind of event with its level and its forms.

Run `python -m tests.hooks.document` after a change.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

from healthd.config.schema import Template
from healthd.events import Event, Kind
from healthd.hooks import words
from healthd.hooks.log import LogHook
from healthd.hooks.problems import Item, Problems
from healthd.hooks.templates import Access, News, bodies
from healthd.log import render
from healthd.log.entry import Entry, entry_of

from .samples import AT, sample

PAGE = Path(__file__).parents[2] / "docs" / "hooks.md"
BEGIN, END = "<!-- events -->", "<!-- end of events -->"
TEMPLATES, END_OF_TEMPLATES = "<!-- templates -->", "<!-- end of templates -->"

ABOUT = {
    Template.JSON: (
        'url = "https://alerts.example.org/healthd"',
        """\
For programs of your own. `events` are as programs get them on standard input (see below), oldest first. `id` is the
same when a message is tried again.""",
    ),
    Template.ALERTMANAGER: (
        'url = "http://127.0.0.1:9093/api/v2/alerts"',
        """\
Prometheus' Alertmanager, its API v2. Each problem is an alert of its own, with labels that are the same at its end;
grouping and silences are Alertmanager's. As it wants to be, it is told again every 75 s of all that goes on; of what it
hears nothing for 5 minutes it thinks that it is over. healthd remembers through a restart what it has to end, also
where the new configuration does not have the server any more.""",
    ),
    Template.SLACK: (
        'url_file = "slack"    # LoadCredential=slack:/etc/healthd/slack.url',
        "Slack's incoming webhooks; Mattermost and Rocket.Chat take the same. The URL is a secret.",
    ),
    Template.PAGERDUTY: (
        'token_file = "/etc/healthd/pagerduty.key"    # the integration key',
        """\
PagerDuty's Events API v2; it needs no `url`. What goes wrong together is one alert, whose `dedup_key` is the message's
id; it is resolved when the last of it is over. Problems of which no event tells the end (`row-refused`, `prober-lost`,
`drift`) are yours to resolve; `on` can leave them out.""",
    ),
    Template.NTFY: (
        'url = "https://ntfy.example.org/load-balancers"\ntoken_file = "/etc/healthd/ntfy.token"',
        "ntfy; the last part of the URL is the topic. What is critical has priority 5, other problems 4, the rest 3.",
    ),
}
"""Of each template the keys of its own, and what there is to know."""


def logged(event: Event) -> Entry:
    """The entry that the log hook makes of an event."""
    entries: list[Entry] = []
    logger = logging.Logger("healthd.events", logging.DEBUG)
    handler = logging.Handler()
    handler.emit = lambda record: entries.append(entry_of(record))  # type: ignore[method-assign]
    logger.addHandler(handler)
    LogHook(logger).event(event)
    return entries[0]


def section(kind: Kind) -> str:
    """One kind of event."""
    event = sample(kind)
    level = render.level_name(words.level(kind))
    line = render.text(logged(event)).decode().strip()
    document = words.document(event).decode().strip()
    return (
        f"### {kind.value}\n\nLevel {level}, `MESSAGE_ID={words.message_id(kind)}`\n\n"
        f"```\n{line}\n```\n\n```json\n{document}\n```\n"
    )


def template_section(template: Template) -> str:
    """One template: how to set it up, and what it sends of two servers that go down and come back."""
    table, about = ABOUT[template]
    down, up = ([_of(kind, host) for host in (11, 12)] for kind in (Kind.SERVER_DOWN, Kind.SERVER_UP))
    known = Problems()
    known.tell([Item(number, event) for number, event in enumerate(down)], "msg_5b0c")
    first = _sent(template, News("msg_5b0c", "lb1", AT + 5, tuple(down)))
    last = _sent(template, News("msg_77e1", "lb1", AT + 65, tuple(up), tuple(known), known.ends(up)))
    example = f'[[hook]]\ntype = "webhook"\ntemplate = "{template.value}"\n{table}'
    sent = f"{first}\n```\n\n```json\n{last}" if template in (Template.ALERTMANAGER, Template.PAGERDUTY) else first
    return f"### {template.value}\n\n{about}\n\n```toml\n{example}\n```\n\n```json\n{sent}\n```\n"


def _of(kind: Kind, host: int) -> Event:
    """The sample of a kind, a minute later if it is a recovery, of another server."""
    event = sample(kind, at=AT + 60 * (kind is Kind.SERVER_UP))
    address, effect = f"10.0.0.{host}", tuple(one.replace("10.0.0.11", f"10.0.0.{host}") for one in event.effect)
    return replace(event, real=f"{address}:80", message=event.message.replace("10.0.0.11", address), effect=effect)


def _sent(template: Template, news: News) -> str:
    (body,) = bodies(template, news, Access("load-balancers", "0123456789abcdef"))
    return json.dumps(body, indent=2, ensure_ascii=False)


def page(text: str) -> str:
    """The page with its generated parts made anew."""
    text = _renewed(text, TEMPLATES, END_OF_TEMPLATES, "\n".join(map(template_section, Template)))
    return _renewed(text, BEGIN, END, "\n".join(map(section, Kind)))


def _renewed(text: str, begin: str, end: str, part: str) -> str:
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n\n{part}\n{end}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
