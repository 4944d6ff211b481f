"""Where lines of log go, and how they look. `configure` is all that other modules need; they log by `logging`.

    logging.getLogger(__name__).warning("the table is away", extra={"errno": 1})

Each `extra` becomes a key=value of the text, a key of the JSON, a field HEALTHD_... of the journal.
"""

from healthd.log.setup import Log, configure
from healthd.log.writer import LogStats

__all__ = ["Log", "LogStats", "configure"]
