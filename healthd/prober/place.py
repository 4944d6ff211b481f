"""What a prober process is for, and what it may."""

from __future__ import annotations

from dataclasses import dataclass

from healthd.privileges import Capabilities, Capability


@dataclass(frozen=True, slots=True)
class Place:
    """What a shard is for, and what it may. netns: namespace it asks from. number: of the shards of that namespace.

    keep: capabilities of the process. user: whom it becomes, None for who we are.
    """

    netns: str | None
    number: int
    keep: Capabilities
    user: str | None = None

    @property
    def name(self) -> str:
        """Text for logs: prober 0, prober 0 in blue."""
        marks = " for marked probes" if Capability.NET_ADMIN in self.keep else ""
        return f"prober {self.number}{marks}" + (f" in {self.netns}" if self.netns else "")
