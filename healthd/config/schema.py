"""The configuration as the rest of healthd sees it: complete, validated, normalised values.

Nothing here reads files or knows TOML; `healthd.config.load` fills it. Seconds are floats, addresses are objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from healthd.check import AsyncCheck, Check, Target
from healthd.health import Thresholds
from healthd.model import DestKey, DestSpec, ServiceKey, ServiceSpec, SyncDaemon, Timeouts
from healthd.prober.base import Cadence


class OnFailure(Enum):
    """What a failed server's row becomes: weight 0 (the row stays), or gone."""

    QUIESCE = "quiesce"
    REMOVE = "remove"


class Admin(Enum):
    """What the operator wants of a server. DRAINED: weight 0, the row stays. MAINTENANCE: as if it had failed.

    REMOVED: no row, whatever becomes of failed servers.
    """

    ENABLED = "enabled"
    DRAINED = "drained"
    MAINTENANCE = "maintenance"
    REMOVED = "removed"


class Drift(Enum):
    """What to do when somebody else edited a row of ours: write it again, only tell, or accept it."""

    REPAIR = "repair"
    REPORT = "report"
    ADOPT = "adopt"


class OnStop(Enum):
    """What becomes of our services when the daemon stops: left as they are, all weights 0, or deleted."""

    LEAVE = "leave"
    QUIESCE = "quiesce"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the configuration; line counts from 1, 0 is unknown."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        """Text for people: /etc/healthd/services.d/www.toml:12."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """One check of one real server, complete: what to ask, whom, when, and how many verdicts decide."""

    check: Check | AsyncCheck
    target: Target
    cadence: Cadence
    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class RealServer:
    """A declared real server. spec.weight is the configured weight."""

    key: DestKey
    spec: DestSpec
    checks: tuple[CheckPlan, ...] = ()
    admin: Admin = Admin.ENABLED
    name: str = ""
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Fallback:
    """The server that steps in when no real server is usable; its weight is 1 or more."""

    key: DestKey
    spec: DestSpec


class Stage(Enum):
    """What the daemon is doing, as those who get mail see it."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    RELOADING = "reloading"


class MailTls(Enum):
    """Encryption on the way to the mail server.

    AUTO: STARTTLS where the server offers it, whoever it is; with a user's name it is as STARTTLS. NONE: never.
    STARTTLS: required (RFC 3207). TLS: from the first byte (RFC 8314).
    """

    AUTO = "auto"
    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Mail about servers. to: empty for no mail at all. sender: None for our own user and host.

    server: HOST or HOST:PORT of SMTP, None for the machine's own mailer. reminder: seconds from one reminder of a
    server that is still down to the next, 0 for none. during: stages of the daemon in which mail is sent. The rest is
    of `server`. password_file: read before each use, so it may change. ca_file: None for the system's authorities.
    """

    to: tuple[str, ...] = ()
    sender: str | None = None
    server: str | None = None
    reminder: float = 0.0
    during: frozenset[Stage] = frozenset(Stage)
    tls: MailTls = MailTls.AUTO
    verify: bool = True
    ca_file: Path | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """A declared virtual service. Names are unique, keys are unique. on_stop: None for the daemon's policy.

    fallback_command: a line for /bin/sh, run with start or stop when the last usable server goes or the first comes.
    monitor_file: where a line for every probe goes. title, comment: for people, as in mail. maintenance: folder in
    which a file with a server's name takes that server out, None for none. mail: complete, the daemon's is in it.
    keep_usable: fewest usable servers that an operator may leave it with unless they insist.
    """

    name: str
    key: ServiceKey
    spec: ServiceSpec
    reals: tuple[RealServer, ...]
    on_failure: OnFailure = OnFailure.QUIESCE
    fallback: Fallback | None = None
    admin: Admin = Admin.ENABLED
    on_stop: OnStop | None = None
    fallback_command: str | None = None
    fallback_command_at_stop: bool = False
    monitor_file: Path | None = None
    title: str = ""
    comment: str = ""
    maintenance: Path | None = None
    mail: MailSettings = MailSettings()
    keep_usable: int = 1
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class ExecHook:
    """A program to run on events. command: argv. on: values of events.Kind, empty for all. retries: after a failure."""

    command: tuple[str, ...]
    on: frozenset[str] = frozenset()
    timeout: float = 10.0
    retries: int = 2
    place: Place = Place()


class Template(Enum):
    """What the receiver of a webhook understands."""

    JSON = "json"
    ALERTMANAGER = "alertmanager"
    SLACK = "slack"
    PAGERDUTY = "pagerduty"
    NTFY = "ntfy"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver of events over HTTP. name: no other has it. on: values of events.Kind, empty for the template's own.

    url or url_file is there. retries: after a failure, None for as long as an event is news. group: seconds from the
    first event to the message that tells of all. per_minute: most messages. secret: `whsec_` and base64. Files of
    secrets are read before each use; one that is no absolute path is the name of a systemd credential.
    """

    name: str
    template: Template = Template.JSON
    url: str | None = field(default=None, repr=False)
    url_file: Path | None = None
    on: frozenset[str] = frozenset()
    timeout: float = 10.0
    retries: int | None = None
    group: float = 5.0
    per_minute: int = 20
    secret: str | None = field(default=None, repr=False)
    secret_file: Path | None = None
    token_file: Path | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    verify: bool = True
    ca_file: Path | None = None
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where and how the log goes. to: stderr, journald, syslog or a file's path. format: text or json.

    style: healthd, or ldirectord for lines that whatever watches its log goes on to match. to may be stdout as well,
    which no file can say: it is where ldirectord logs to when it is supervised.
    """

    to: str = "stderr"
    format: str = "text"
    level: str = "info"
    facility: str = "daemon"
    style: str = "healthd"


@dataclass(frozen=True, slots=True)
class TableSettings:
    """The table to keep. netns: name or path of its network namespace, None for our own."""

    netns: str | None = None
    timeouts: Timeouts = Timeouts()
    sync: tuple[SyncDaemon, ...] = ()
    drift: Drift = Drift.REPAIR
    resync: float = 15.0


@dataclass(frozen=True, slots=True)
class ProberSettings:
    """probers: how many processes share the probes. in_flight: most probes under way at once, over all of them."""

    processes: int = 1
    in_flight: int = 4096
    watch_neighbours: bool = True


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """user: whom scripts run as where their check names nobody. parallel: most scripts at once."""

    user: str | None = None
    parallel: int = 16


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """The control socket. group: name of a group that may read status; root and our own user may do everything."""

    socket: Path = Path("/run/healthd/control.sock")
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """Somebody who may ask over TCP. digest: SHA-256 of the token. writes: may change things, where that is allowed."""

    name: str
    digest: bytes = field(repr=False)
    writes: bool = False


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The status page and the API on TCP. listen: addresses with ports, empty for nowhere.

    cert_file, key_file: of TLS, which only addresses of loopback do without. write: whether tokens may. anonymous:
    whether anybody may read. names: host names, in small letters, that a request may be for.
    """

    listen: tuple[tuple[str, int], ...] = ()
    cert_file: Path | None = None
    key_file: Path | None = None
    tokens: tuple[Token, ...] = ()
    write: bool = False
    anonymous: bool = False
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class StateSettings:
    """What must live through a restart. file: None for the usual place. keep: seconds that events are kept."""

    file: Path | None = None
    keep: float = 90 * 86400.0


@dataclass(frozen=True, slots=True)
class ReloadSettings:
    """watch: read the configuration again when a file of it changes. callback: program to run after such a change."""

    watch: bool = False
    callback: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is not a service."""

    on_stop: OnStop = OnStop.LEAVE
    table: TableSettings = TableSettings()
    prober: ProberSettings = ProberSettings()
    runner: RunnerSettings = RunnerSettings()
    control: ControlSettings = ControlSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    state: StateSettings = StateSettings()
    reload: ReloadSettings = ReloadSettings()
    hooks: tuple[ExecHook | Webhook, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration. files: every file it was read from."""

    settings: Settings = Settings()
    services: tuple[ServiceConfig, ...] = field(default=())
    files: tuple[str, ...] = ()
