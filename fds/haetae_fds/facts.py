"""What detectors see of one event: the event, the state it belongs to, and what is already known about it.

Not here: how it is filled in (`features`), what follows from it (`detectors`).
"""

from __future__ import annotations

from typing import Final

from haetae_fds.event import Event
from haetae_fds.state import Account, ApiState, Cluster, Device, Faults, Pair, Place, Session, User, Version
from haetae_fds.words import NetworkKind

LOGIN: Final = 1
FAULT: Final = 2
OBJECT: Final = 4
MISSING: Final = 8
SESSION: Final = 16
VOLUME: Final = 32
USER: Final = 64
SIGNUP: Final = 128
DECOY: Final = 256
OFFENSE: Final = 512

RARE: Final = 0.005
#: Established identities active, from which on one that hardly any has is known to be rare.
TELLING: Final = 50
_DATACENTRES: Final = frozenset({NetworkKind.HOSTING, NetworkKind.ANONYMISER})

FAILED: Final = frozenset({"bad", "nouser", "locked", "mfa_fail"})
PASSED: Final = frozenset({"ok", "mfa_ok"})


class Facts:
    """One event with everything detectors may read. Built by `features.Features.update` only.

    `place` is the address (IPv6: its /64), `net` the network. `device` is set when the device signature was verified,
    `claimed` is the known device of that id whether verified now or not. `trusted`: the (device, address) pair is
    established. `familiar`: the log-in comes from where this account is at home. `fresh`: this (account, secret) pair
    failed for the first time in 24 hours. `pop`: established identities at the address. `scale`: what limits are
    multiplied with (a cold engine doubles, a model may halve). `share`: of the established identities, those who have
    this client. `bare`: the session is used without the device it always had, in a network strange to its user.
    `swarm`: far more is asked for that nobody asks for.
    """

    __slots__ = (
        "account",
        "active",
        "actor",
        "api",
        "api_key",
        "bare",
        "claimed",
        "client",
        "cluster",
        "decoy",
        "device",
        "event",
        "every",
        "failed",
        "familiar",
        "fault_pair",
        "faults",
        "fresh",
        "history",
        "incident",
        "ip",
        "known_device",
        "narrow",
        "net",
        "net_key",
        "net_pair",
        "now",
        "pair",
        "passed",
        "place",
        "pop",
        "pw",
        "repeats",
        "scale",
        "sensitive",
        "sensitive_apis",
        "session",
        "share",
        "strays",
        "surge",
        "swarm",
        "system",
        "triggers",
        "trusted",
        "user",
        "user_key",
        "version",
    )  # fmt: skip

    def __init__(self, event: Event, now: int) -> None:
        self.event = event
        self.now = now
        self.triggers = 0
        self.ip = ""
        self.net_key = ""
        self.system = ""
        self.place: Place | None = None
        self.net: Place | None = None
        self.pop = 0
        self.device: Device | None = None
        self.claimed: Device | None = None
        self.trusted = False
        self.user: User | None = None
        self.user_key: str | None = None
        self.account: Account | None = None
        self.session: Session | None = None
        self.bare = False
        self.client: str | None = None
        self.cluster: Cluster | None = None
        self.pw: Cluster | None = None
        self.strays: Cluster | None = None
        self.api_key: str | None = None
        self.api: ApiState | None = None
        self.pair: Pair | None = None
        self.net_pair: Pair | None = None
        self.actor = ""
        self.failed = False
        self.passed = False
        self.familiar = False
        self.known_device = False
        self.history = False
        self.fresh = False
        self.faults: tuple[str, ...] = ()
        self.repeats = False
        self.fault_pair: Faults | None = None
        self.version: Version | None = None
        self.every: Version | None = None
        self.incident: str | None = None
        self.decoy: str | None = None
        self.sensitive = False
        self.sensitive_apis: dict[str, ApiState] = {}
        self.share = 0.0
        self.swarm = False
        self.surge: tuple[float, float] | None = None
        self.active = 0
        self.narrow = False
        self.scale = 1.0

    @property
    def rare(self) -> bool:
        """Whether hardly any established identity has this client."""
        return self.share < RARE

    @property
    def strange(self) -> bool:
        """Whether the client is rare where enough established identities are known to tell."""
        return self.client is not None and self.active >= TELLING and self.rare

    @property
    def datacentre(self) -> bool:
        """Whether the address is rented by the hour, or hides who uses it."""
        return self.place is not None and self.place.kind in _DATACENTRES

    @property
    def mobile(self) -> bool:
        """Whether the address is a mobile carrier's."""
        return self.place is not None and self.place.kind == NetworkKind.MOBILE
