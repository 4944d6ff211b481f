"""What stands in a message to each kind of receiver. Pure: from news to values of JSON.

json: everything, for programs. slack, ntfy: text for people. alertmanager: its API v2, which wants to hear of a problem
again and again while it goes on. pagerduty: Events API v2, one alert for what was told together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from healthd.config.schema import Stage, Template
from healthd.events import PROBLEMS, RECOVERIES, Event, Kind
from healthd.hooks.mail_words import Scene, message, subject
from healthd.hooks.problems import ENDLESS, Item, Problem, begun, ends, severity
from healthd.hooks.words import QUIET, values
from healthd.log.entry import rfc3339
from healthd.log.printable import printable

Body = Any
"""Values of JSON."""

LINGER = 300.0
"""Seconds after which Alertmanager takes a problem for over of which it hears no more."""
MOST_LINES = 30
LONGEST_LINE = 500
NTFY_BYTES = 3500
"""ntfy takes 4096 bytes for a message, https://docs.ntfy.sh/publish/#limitations."""
SUMMARY = 1024
"""Longest summary in PagerDuty's Events API v2."""


@dataclass(frozen=True, slots=True)
class News:
    """What a message tells.

    id: of the message, the same whenever it is tried. host: whose news. now: seconds since the epoch. events: what is
    new, oldest first. told: problems that the receiver was told of before. over: those of them that end now, each with
    the event that ends it. again: tell once more of all that goes on, to those who want to hear it again.
    """

    id: str
    host: str
    now: float
    events: tuple[Event, ...]
    told: tuple[Item, ...] = ()
    over: Mapping[Item, Event] = field(default_factory=dict)
    again: bool = False

    @property
    def fresh(self) -> tuple[Event, ...]:
        """Events that begin a problem which goes on after all of the news."""
        standing: dict[Problem, Event] = {}
        for event in self.events:
            for over in [problem for problem in standing if ends(event, problem)] if event.kind in RECOVERIES else ():
                del standing[over]
            begins = begun(event)
            if begins is not None:
                standing[begins] = event
        return tuple(standing.values())

    @property
    def going_on(self) -> tuple[Item, ...]:
        """What the receiver was told of before and is not over."""
        return tuple(item for item in self.told if item not in self.over)


@dataclass(frozen=True, slots=True)
class Access:
    """What a message needs of the receiver's secrets. topic: of ntfy. token: PagerDuty's integration key."""

    topic: str = ""
    token: str = ""


def kinds(template: Template, on: frozenset[str]) -> frozenset[Kind]:
    """Which events a receiver may be told of. on: the operator's choice, empty for none made."""
    chosen = {Kind(name) for name in on}
    match template:
        case Template.JSON:
            return frozenset(chosen or set(Kind) - QUIET)
        case Template.SLACK | Template.NTFY if chosen:
            return frozenset(chosen)
    chosen = chosen or set(PROBLEMS)
    return frozenset(chosen | {ending for ending, kind in RECOVERIES.items() if kind in chosen})


def bodies(template: Template, news: News, access: Access) -> Sequence[Body]:
    """The messages, in their order; none where there is nothing that this receiver wants to know."""
    return MAKE[template](news, access)


# --- for programs -----------------------------------------------------------------------------------------------


def _json(news: News, access: Access) -> Sequence[Body]:
    told = {"id": news.id, "host": news.host, "message": headline(news), "events": [values(e) for e in news.events]}
    return [told] if news.events else []


def _alertmanager(news: News, access: Access) -> Sequence[Body]:
    """One list of what begins, what is over and, when it is time, what goes on (POST /api/v2/alerts)."""
    alerts: dict[Problem, Body] = {}
    for event in [item.event for item in news.going_on if news.again]:
        alerts |= _firing(event, news)
    for item, event in news.over.items():
        for problem in filter(None, [begun(item.event)]):
            alerts[problem] = _alert(problem, event, news.host, item.event.at, event.at)
    for event in news.fresh:
        alerts |= _firing(event, news)
    return [list(alerts.values())] if alerts else []


def _firing(event: Event, news: News) -> dict[Problem, Body]:
    problem = begun(event)
    if problem is None:
        return {}
    since = event.at if problem.kind in ENDLESS else news.now
    return {problem: _alert(problem, event, news.host, event.at, since + LINGER)}


def _alert(problem: Problem, event: Event, host: str, begins: float, ends: float) -> Body:
    """Labels say which problem it is and are the same at its end; annotations say what the event tells."""
    name = "Healthd" + "".join(word.capitalize() for word in problem.kind.value.split("-"))
    labels = {
        "alertname": name,
        "severity": severity(problem.kind),
        "instance": host,
        "service": problem.service,
        "virtual": problem.virtual,
        "real": problem.real,
    }
    annotations = {"summary": text_of(event), "reason": event.reason, "detail": printable(event.detail)}
    return {
        "labels": _filled(labels),
        "annotations": _filled(annotations),
        "startsAt": rfc3339(begins),
        "endsAt": rfc3339(ends),
    }


def _pagerduty(news: News, access: Access) -> Sequence[Body]:
    """One alert for all problems of a message; it is resolved when the last of them is over."""
    going_on = {item.group for item in news.going_on}
    over = [group for group in dict.fromkeys(item.group for item in news.over) if group not in going_on]
    told: list[Body] = [{"routing_key": access.token, "event_action": "resolve", "dedup_key": group} for group in over]
    known = {begun(item.event) for item in news.going_on}
    fresh = tuple(event for event in news.fresh if begun(event) not in known)
    if fresh:
        told.append(
            {
                "routing_key": access.token,
                "event_action": "trigger",
                "dedup_key": news.id,
                "client": "healthd",
                "payload": _payload(fresh, news.host),
            }
        )
    return told


def _payload(events: Sequence[Event], host: str) -> Body:
    order = ("critical", "error", "warning")
    first = events[0]
    about = {
        "summary": _cut(_headline(events, host), SUMMARY),
        "source": host,
        "severity": min((severity(event.kind) for event in events), key=order.index),
        "timestamp": rfc3339(first.at),
        "component": first.real if len(events) == 1 else "",
        "group": first.service if len({event.service for event in events}) == 1 else "",
        "class": first.kind.value if len({event.kind for event in events}) == 1 else "",
    }
    return _filled(about) | {"custom_details": {"events": lines(events)}}


# --- for people -------------------------------------------------------------------------------------------------


def _slack(news: News, access: Access) -> Sequence[Body]:
    """Slack's incoming webhooks, and what understands them: text in their markup."""
    if not news.events:
        return []
    mark = ":red_circle:" if news.fresh else ":large_green_circle:" if _all_over(news) else ":information_source:"
    told = [f"{mark} *{_slack_safe(headline(news))}*"]
    if len(news.events) > 1:
        told += [f"• {_slack_safe(line)}" for line in lines(news.events)]
    return [{"text": "\n".join(told)}]


def _slack_safe(text: str) -> str:
    """Text that mentions nobody and links nowhere, https://docs.slack.dev/messaging/formatting-message-text/."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _ntfy(news: News, access: Access) -> Sequence[Body]:
    """Published as JSON, https://docs.ntfy.sh/publish/#publish-as-json."""
    if not news.events:
        return []
    worst = {severity(event.kind) for event in news.fresh}
    tags = ["rotating_light"] if worst else ["white_check_mark"] if _all_over(news) else []
    text = "\n".join(lines(news.events)).encode()[:NTFY_BYTES].decode(errors="ignore")
    priority = 5 if "critical" in worst else 4 if worst else 3
    return [{"topic": access.topic, "title": headline(news), "message": text, "priority": priority, "tags": tags}]


def _all_over(news: News) -> bool:
    return all(event.kind in RECOVERIES for event in news.events)


def headline(news: News) -> str:
    """All of it in one line: "lb1: 40 servers down: www, shop"."""
    return _headline(news.events, news.host)


def _headline(events: Sequence[Event], host: str) -> str:
    return f"{printable(host)}: {subject(events, Scene(host, Stage.RUNNING, {}))}"


def lines(events: Sequence[Event]) -> list[str]:
    """A line for each event, the first of them."""
    more = len(events) - MOST_LINES
    return [*(text_of(event) for event in events[:MOST_LINES]), *([f"... and {more} more"] if more > 0 else [])]


def text_of(event: Event) -> str:
    """An event in one printable line that is not too long."""
    return _cut(printable(message(event)), LONGEST_LINE)


# --- parts ------------------------------------------------------------------------------------------------------


def _filled(parts: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in parts.items() if text}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


MAKE: Mapping[Template, Callable[[News, Access], Sequence[Body]]] = {
    Template.JSON: _json,
    Template.ALERTMANAGER: _alertmanager,
    Template.SLACK: _slack,
    Template.PAGERDUTY: _pagerduty,
    Template.NTFY: _ntfy,
}
