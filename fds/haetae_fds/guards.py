"""Guards around decisions: who is never refused, how many good users may be hit, how often a detector may act.

Rules kept: a subject is checked by everything it matches, not by equality; over budget means a challenge and a
person's attention, never silence. Counts and shares are those of established identities. Not here: choosing subjects.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from haetae_fds.counters import stable
from haetae_fds.decision import Action, Mode, Subject
from haetae_fds.settings import EngineSettings
from haetae_fds.state import HOUR, MIN10, MINUTE

MIN5: Final = 5 * MINUTE
HALF_OPEN: Final = 10.0
MAX_DAMPED: Final = 10_000
_CAUTION: Final = (Mode.OFF, Mode.SHADOW, Mode.ENFORCE)


class Budget:
    """A sum over a sliding window."""

    __slots__ = ("spent", "total", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.spent: deque[tuple[int, int]] = deque()
        self.total = 0

    def held(self, now: int) -> int:
        """Return what the window holds."""
        while self.spent and self.spent[0][0] <= now - self.window:
            self.total -= self.spent.popleft()[1]
        return self.total

    def spend(self, now: int, amount: int) -> None:
        """Add to the window."""
        self.spent.append((now, amount))
        self.total += amount


class Circuit:
    """One detector's right to act: shut for ten minutes after it went over its budget, then 10 % of subjects."""

    __slots__ = ("blocks", "half_until", "open_until")

    def __init__(self) -> None:
        self.blocks = Budget(MINUTE)
        self.open_until = 0
        self.half_until = 0

    def trip(self, now: int) -> None:
        """Put the detector in shadow."""
        self.open_until = now + MIN10
        self.half_until = now + 2 * MIN10


class Guards:
    """The state of all guards."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.protected = settings.protected()
        self.circuits: dict[str, Circuit] = {}
        self.impact_5min = Budget(MIN5)
        self.impact_hour = Budget(HOUR)
        self.blocks = Budget(MINUTE)
        self.free = Budget(MINUTE)
        self.overall: Mode | None = None
        self.switched: dict[str, Mode] = {}
        self.damped: OrderedDict[str, int] = OrderedDict()

    def mode_of(self, detector: str) -> Mode:
        """Return the more cautious of what holds for everything and for this detector."""
        overall = self.settings.mode if self.overall is None else self.overall
        one = self.switched.get(detector) or self.settings.of(detector).mode
        return min(overall, one, key=_CAUTION.index)

    def switch(self, overall: Mode | None, detectors: Mapping[str, Mode]) -> None:
        """Set the modes that stand above those of the settings."""
        self.overall, self.switched = overall, dict(detectors)

    def adopt(self, settings: EngineSettings) -> None:
        """Go on under these settings."""
        self.settings, self.protected = settings, settings.protected()

    def damp(self, detector: str, subject: Subject, until: int) -> None:
        """Remember that a person called a decision of this detector on this subject a false alarm."""
        name = _pair(detector, subject)
        self.damped[name] = max(until, self.damped.pop(name, 0))
        while len(self.damped) > MAX_DAMPED:
            self.damped.popitem(last=False)

    def refuses(self, subject: Subject) -> str | None:
        """Say who of the never-refused a subject would match, if any."""
        settings = self.settings
        if subject.user in settings.never_users:
            return f"user {subject.user}"
        if subject.device in settings.never_devices:
            return f"device {subject.device}"
        if subject.ip is not None:
            network = ip_network(subject.ip, strict=False)
            for one in self.protected:
                if _overlap(network, one):
                    return f"network {one}"
        return None

    def mode(self, detector: str, subject: Subject, now: int) -> tuple[Mode, str | None]:
        """Return the mode this detector may act in on this subject, and why if that is less than configured."""
        configured = self.mode_of(detector)
        if configured is not Mode.ENFORCE:
            return configured, None
        if self.damped and now < self.damped.get(_pair(detector, subject), 0):
            return Mode.SHADOW, "a person called this a false alarm"
        circuit = self.circuits.get(detector)
        share = self.settings.of(detector).rollout
        if circuit is not None:
            if now < circuit.open_until:
                return Mode.SHADOW, "the detector went over its budget"
            if now < circuit.half_until:
                share = min(share, HALF_OPEN)
        if share < 100 and stable(f"{detector} {subject.to_dict()!r}") % 10_000 >= share * 100:
            return Mode.SHADOW, "not in the share of subjects this detector acts on"
        return Mode.ENFORCE, None

    def over_budget(self, detector: str, hit: int, active: int, now: int) -> str | None:
        """Say which budget a decision hitting `hit` good users would break; spend it when none is broken.

        Decisions that match no established identity can do little harm and have a budget of their own.
        """
        s = self.settings
        if hit == 0:
            if self.free.held(now) >= s.zero_impact_blocks_per_minute:
                return "blocks a minute"
            self.free.spend(now, 1)
            return None
        if hit > max(s.impact_users, s.impact_share * active):
            return f"{hit} good users in one decision"
        if self.impact_5min.held(now) + hit > max(s.impact_5min_users, s.impact_5min_share * active):
            return "good users in five minutes"
        if self.impact_hour.held(now) + hit > max(s.impact_hour_users, s.impact_hour_share * active):
            return "good users in one hour"
        circuit = self.circuits.setdefault(detector, Circuit())
        if (
            circuit.blocks.held(now) + 1 > max(1, s.blocks_per_minute // 2)
            or self.blocks.held(now) >= s.blocks_per_minute
        ):
            circuit.trip(now)
            return "blocks a minute"
        circuit.blocks.spend(now, 1)
        self.blocks.spend(now, 1)
        self.impact_5min.spend(now, hit)
        self.impact_hour.spend(now, hit)
        return None


def _pair(detector: str, subject: Subject) -> str:
    return f"{detector} {subject.to_dict()!r}"


def _overlap(a: IPv4Network | IPv6Network, b: IPv4Network | IPv6Network) -> bool:
    if isinstance(a, IPv4Network):
        return isinstance(b, IPv4Network) and a.overlaps(b)
    return isinstance(b, IPv6Network) and a.overlaps(b)


SOFT: Final = frozenset({Action.CHALLENGE, Action.THROTTLE, Action.ALERT})
