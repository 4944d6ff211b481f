"""Which formats a configuration may be written in: TOML of our own, or that of ldirectord."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Format(Enum):
    """The values are those of --format."""

    TOML = "toml"
    LDIRECTORD = "ldirectord"


@dataclass(frozen=True, slots=True)
class Reading:
    """How to take a configuration. format: None to recognise it. strict: as ldirectord itself would, to the letter."""

    format: Format | None = None
    strict: bool = False


AS_IT_IS = Reading()
