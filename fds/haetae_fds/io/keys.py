"""Names of what the worker keeps in Redis. All of one shard share a slot of a cluster; the shard is in braces."""

from __future__ import annotations

from dataclasses import dataclass

from haetae_fds.blob import stream_key

GROUP = "fds"


@dataclass(frozen=True, slots=True)
class ShardKeys:
    """Keys of one shard."""

    prefix: str
    shard: int

    @property
    def events(self) -> str:
        """The stream of blobs."""
        return stream_key(self.prefix, self.shard)

    @property
    def lease(self) -> str:
        """Who may work on it: `<token>:<worker>`."""
        return f"{self.prefix}fds:{{{self.shard}}}:lease"

    @property
    def token(self) -> str:
        """Counts the leases, so that each is told from those before it."""
        return f"{self.prefix}fds:{{{self.shard}}}:token"

    @property
    def done(self) -> str:
        """A hash: the last decision that was `logged`, and the last whose effect is `done`: `<entry id>/<number>`."""
        return f"{self.prefix}fds:{{{self.shard}}}:done"

    @property
    def log(self) -> str:
        """Every decision, in order."""
        return f"{self.prefix}fds:{{{self.shard}}}:decisions"


def modes_key(prefix: str) -> str:
    """A hash: `overall` and names of detectors → `off`, `shadow` or `enforce`."""
    return f"{prefix}fds:modes"
