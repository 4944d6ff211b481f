"""oracle: an Oracle database lets us in and answers a query. Needs the extra `oracle`, which brings python-oracledb.

Oracle's protocol is not published, so its own library speaks it (in its thin mode, without Oracle's client). What that
library makes of an answer that is not Oracle's can be a crash or a loop without an end, in compiled code: that must not
happen in the process that asks everybody else. So each probe is a program of its own (`checks/oracle_session.py`),
which the runner ends at the deadline. It costs about what a script costs.

No Oracle could be had to test this with: what is tested is all that a server can do before it lets somebody in.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from checks.rules import exclusive, text_regex
from checks.sql import asks_for_rows, judge, named, no_zero, statement
from healthd.check import (
    REQUIRED,
    CheckFailed,
    Conversation,
    Inconclusive,
    Ran,
    Reason,
    Run,
    Target,
    option,
    shown,
)

if find_spec("oracledb") is None:
    raise ModuleNotFoundError(
        "the check oracle needs oracledb, which the extra brings: pip install 'healthd[oracle]'", name="oracledb"
    )

SESSION = str(Path(__file__).with_name("oracle_session.py"))
VARIABLE = "HEALTHD_ORACLE"
"""What is asked goes to the program in its environment: everybody on this machine may read arguments."""

_KILLED = -9
_MOST_OUTPUT = 256 * 1024


def _seconds(number: float) -> float:
    if not 0.001 <= number <= 3600:
        raise ValueError(f"must be 0.001 to 3600, got {number}")
    return number


@dataclass(frozen=True, slots=True)
class OracleCheck:
    """A login and a query. Fails on any error of the server's, and on an empty result unless that is allowed.

    The query runs in a transaction that is rolled back; take one that only reads. Give it less time (`query_time`)
    than the probe has (`timeout`), and the server is told to give it up; what is still running at the deadline goes on
    there until the server finds that we are gone.
    """

    kind: ClassVar[str] = "oracle"
    usual_port: ClassVar[int] = 1521

    user: str = option(REQUIRED, "user to log in as", rule=named)
    password: str = option("", "password to log in with", rule=no_zero, secret=True)
    service: str | None = option(None, "service name of the database", rule=named)
    sid: str | None = option(None, "system identifier of the database, instead of `service`", rule=named)
    query: str = option("SELECT 1 FROM dual", "one statement to run, without a semicolon", rule=statement)
    expect: str | None = option(
        None, "regular expression that must match the first value of the first row", rule=text_regex
    )
    allow_empty: bool = option(False, "a result without rows passes too")
    query_time: float = option(3.0, "seconds that the server has for the query", rule=_seconds)

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        asks_for_rows(self.expect, self.allow_empty)
        exclusive(self, "service", "sid")
        if self.service is None and self.sid is None:
            raise ValueError("service or sid is needed: which database?")

    def converse(self, target: Target) -> Conversation:
        """Have the program ask, and judge what it says."""
        if target.source or target.interface or target.mark:
            raise Inconclusive("oracle cannot ask from a source address, an interface or with a mark")
        ran: Ran = yield Run(
            argv=(sys.executable, "-I", SESSION),
            env=((VARIABLE, self._question(target)),),
            netns=target.netns,
            output_limit=_MOST_OUTPUT,
        )
        said = _said(ran)
        match said:
            case {"row": [*_] | None as row}:
                return judge(row, self.expect, self.allow_empty)
            case {"failure": str(reason), "detail": str(detail)}:
                raise CheckFailed(Reason(reason), detail)
            case {"doubt": str(doubt)}:
                raise Inconclusive(doubt)
        raise Inconclusive(f"the program that asks says {shown(ran.output.strip())!r}")

    def _question(self, target: Target) -> str:
        names = ("user", "password", "service", "sid", "query", "query_time")
        asked = {name: getattr(self, name) for name in names}
        return json.dumps({"host": str(target.address), "port": target.port, **asked})


def _said(ran: Ran) -> Any:
    """What the program says. Whatever else ends it is the answer's fault, except what we know to be ours."""
    lines = ran.output.decode(errors="replace").strip().splitlines()
    last = lines[-1] if lines else ""
    if ran.status == _KILLED:
        raise Inconclusive("the program that asks was killed; is there memory left?")
    if ran.status < 0:
        raise CheckFailed(Reason.PROTOCOL, f"oracledb cannot read the answer (signal {-ran.status})")
    if ran.status:
        raise Inconclusive(f"the program that asks ended with {ran.status}: {shown(last.encode(), 200)}")
    try:
        return json.loads(last)
    except ValueError:
        return None
