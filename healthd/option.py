"""Fields of a check that the configuration may set. `healthd.check` hands this on: a check imports it from there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal


class _Required:
    """Marks an option without a default."""


REQUIRED = _Required()


def option(
    default: Any,
    doc: str,
    *,
    rule: Callable[[Any], Any] | None = None,
    secret: bool = False,
    file: Literal["read", "execute"] | None = None,
) -> Any:
    """A field of a check that the configuration may set.

    default: its value when not given (`REQUIRED` for none). doc: one sentence for the reference. rule: called with the
    value once its type is right; returns the value to keep or raises ValueError with a text for the operator.
    secret: never shown in output. file: the value is the path of a file that must be there to be read or executed;
    who loads the configuration looks, a check does not. A field's type is one of str, int, float, bool, bytes, Literal,
    tuple[str, ...], tuple[tuple[str, str], ...] (a table), Tls | None, or one of those `| None`. Fields of a check that
    are not made by `option` are its own affair (what it prepares for speed), never configuration.
    """
    metadata = {"doc": doc, "rule": rule, "secret": secret, "file": file}
    if default is REQUIRED:
        return dataclasses.field(repr=not secret, metadata=metadata)
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)
