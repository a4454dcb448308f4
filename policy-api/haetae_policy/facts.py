"""What the gateway knows about a request, and what the table answers.

These three are named tuples rather than dataclasses: one of each is made per request, a frozen dataclass
costs three times as much to build, and the table reads facts by position.
"""

from collections.abc import Hashable
from typing import NamedTuple

from haetae_policy.identifiers import format_policy_id
from haetae_policy.model import Action, Rate


class Facts(NamedTuple):
    """Who is calling. Only verified identities belong here; None means not known.

    `ip` comes from `address_key`. `trusted` says that the caller has a verified, established identity:
    policies with `untrusted: true` pass such callers by. The order of the fields is the order in which a
    policy's subject is indexed (see `model.KINDS`).
    """

    session: str | None = None
    device: str | None = None
    user: str | None = None
    account: str | None = None
    pw_fp: str | None = None
    client: str | None = None
    ip: int | None = None
    trusted: bool = False


class ApiFacts(NamedTuple):
    """What is being called. `path` is the gateway's normalised path without the query."""

    gateway: str
    route: str
    method: str
    path: str


class Verdict(NamedTuple):
    """One policy that applies. `bucket` is set for throttles: the key whose rate counts.

    `also`: for a throttle, the other throttles that apply. Each of them must give a token.
    """

    pid: int
    action: Action
    expires_ms: int
    seq: int
    ver: int
    why: str
    hard: bool
    shadow: bool
    machine: bool
    rate: Rate | None
    bucket: Hashable | None
    also: tuple["Verdict", ...] = ()

    @property
    def policy_id(self) -> str:
        """The policy's public identifier."""
        return format_policy_id(self.pid)

    def retry_after_s(self, now_ms: int) -> int:
        """Whole seconds from `now_ms` until this policy ends, for `Retry-After` (RFC 9110, 10.2.3); at
        least 1.
        """
        return max(1, -(-(self.expires_ms - now_ms) // 1000))
