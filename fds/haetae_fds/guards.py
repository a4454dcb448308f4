"""Guards around decisions: who is never refused, how many good users may be hit, how often a detector may act.

Rules kept: a subject is checked by everything it matches, not by equality; over budget means a challenge (a fifth of
a block), then shadow and a person's attention, never silence. Counts and shares are those of established identities.
Not here: choosing subjects.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from haetae_fds.counters import stable
from haetae_fds.decision import Action, Mode, Number, Subject
from haetae_fds.settings import EngineSettings
from haetae_fds.state import HOUR, MIN10, MINUTE

MIN5: Final = 5 * MINUTE
HALF_OPEN: Final = 10.0
CHALLENGE_COST: Final = 0.2
# How many are active is estimated within about 7 %.
_CERTAIN: Final = 0.9
MAX_DAMPED: Final = 10_000
_CAUTION: Final = (Mode.OFF, Mode.SHADOW, Mode.ENFORCE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which budget an action would break, None if none; `trip`: the detector has no milder action left."""

    broken: Number | None
    trip: bool = False


class Budget:
    """A sum over a sliding window."""

    __slots__ = ("spent", "total", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.spent: deque[tuple[int, float]] = deque()
        self.total = 0.0

    def held(self, now: int) -> float:
        """Return what the window holds."""
        while self.spent and self.spent[0][0] <= now - self.window:
            self.total -= self.spent.popleft()[1]
        if not self.spent:
            self.total = 0.0
        return self.total

    def spend(self, now: int, amount: float) -> None:
        """Add to the window."""
        self.spent.append((now, amount))
        self.total += amount


class Circuit:
    """One detector's right to act: shut for ten minutes after it went over its budget, then 10 % of subjects."""

    __slots__ = ("blocks", "free", "half_until", "impact", "open_until")

    def __init__(self) -> None:
        self.blocks = Budget(MINUTE)
        self.free = Budget(MINUTE)
        self.impact = Budget(MIN5)
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
        self.networks = _networks(settings)
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
        overall = self.overall_mode
        one = self.switched.get(detector) or self.settings.of(detector).mode
        return min(overall, one, key=_CAUTION.index)

    @property
    def overall_mode(self) -> Mode:
        """Return what holds for everything."""
        return self.settings.mode if self.overall is None else self.overall

    def switch(self, overall: Mode | None, detectors: Mapping[str, Mode]) -> None:
        """Set the modes that stand above those of the settings."""
        self.overall, self.switched = overall, dict(detectors)

    def adopt(self, settings: EngineSettings) -> None:
        """Go on under these settings."""
        self.settings, self.networks = settings, _networks(settings)

    def damp(self, detector: str, subject: Subject, until: int) -> None:
        """Remember that a person called a decision of this detector on this subject a false alarm."""
        name = _pair(detector, subject)
        self.damped[name] = max(until, self.damped.pop(name, 0))
        while len(self.damped) > MAX_DAMPED:
            self.damped.popitem(last=False)

    def refuses(self, subject: Subject) -> str | None:
        """Say who of the never-refused a subject would match, if any."""
        listed = self.settings.protected.subjects
        for kind, value in _named(subject):
            if (kind, value) in listed:
                return f"{kind} {value}"
        if subject.ip is not None:
            network = ip_network(subject.ip, strict=False)
            for one in self.networks:
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

    def fits(
        self, detector: str, action: Action, hit: int, active: float, now: int, *, instead: bool = False
    ) -> Verdict:
        """Say whether an action that hits `hit` good users may be taken, and spend what it costs if it may.

        What a detector may do to good users alone is half of what all may. A challenge costs a fifth of a block, unless
        it stands `instead` of one: a detector that would block so many is probably wrong about them. Decisions that
        match no established identity can do little harm and have a budget of their own.
        """
        if hit == 0:
            return self._fits_nobody(detector, action, now)
        s, active = self.settings, active * _CERTAIN
        cost = hit * (CHALLENGE_COST if action is Action.CHALLENGE and not instead else 1.0)
        one = max(s.impact_users, s.impact_share * active)
        if cost > one:
            return Verdict(Number(name="good users in one decision", value=cost, limit=one))
        circuit = self.circuits.setdefault(detector, Circuit())
        five, hour = (
            max(s.impact_5min_users, s.impact_5min_share * active),
            max(s.impact_hour_users, s.impact_hour_share * active),
        )
        soft = action is Action.CHALLENGE
        for spent, most in (
            (circuit.impact.held(now) + cost, five if soft else five / 2),
            (self.impact_5min.held(now) + cost, five),
        ):
            if spent > most:
                return Verdict(Number(name="good users in five minutes", value=spent, limit=most), trip=soft)
        if (spent := self.impact_hour.held(now) + cost) > hour:
            return Verdict(Number(name="good users in an hour", value=spent, limit=hour), trip=soft)
        if not soft:
            for made, allowed in (
                (circuit.blocks.held(now) + 1, max(1, s.blocks_per_minute // 2)),
                (self.blocks.held(now) + 1, s.blocks_per_minute),
            ):
                if made > allowed:
                    return Verdict(Number(name="blocks a minute", value=made, limit=allowed), trip=True)
            circuit.blocks.spend(now, 1)
            self.blocks.spend(now, 1)
        circuit.impact.spend(now, cost)
        self.impact_5min.spend(now, cost)
        self.impact_hour.spend(now, cost)
        return _FITS

    def _fits_nobody(self, detector: str, action: Action, now: int) -> Verdict:
        most = self.settings.zero_impact_blocks_per_minute
        circuit = self.circuits.setdefault(detector, Circuit())
        for held, allowed in ((circuit.free.held(now), most), (self.free.held(now), 2 * most)):
            if held >= allowed:
                over = Number(name="decisions a minute", value=held + 1, limit=allowed)
                return Verdict(over, trip=action is Action.CHALLENGE)
        if action is not Action.CHALLENGE and (held := circuit.free.held(now)) >= most // 2:
            return Verdict(Number(name="blocks a minute", value=held + 1, limit=most // 2))
        circuit.free.spend(now, 1)
        self.free.spend(now, 1)
        return _FITS

    def hurt(self, detector: str, now: int) -> None:
        """Charge a detector for somebody good whom it turned out to refuse."""
        circuit = self.circuits.setdefault(detector, Circuit())
        for budget in (circuit.impact, self.impact_5min, self.impact_hour):
            budget.spend(now, 1.0)

    def trip(self, detector: str, now: int) -> bool:
        """Put a detector in shadow for ten minutes; return whether it was not there already."""
        circuit = self.circuits.setdefault(detector, Circuit())
        already = now < circuit.open_until
        circuit.trip(now)
        return not already


_FITS: Final = Verdict(None)


def _pair(detector: str, subject: Subject) -> str:
    return f"{detector} {subject.to_dict()!r}"


def _networks(settings: EngineSettings) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(str(network)) for network in settings.protected.every_network)


def _named(subject: Subject) -> tuple[tuple[str, str | None], ...]:
    return (
        ("user", subject.user), ("device", subject.device), ("account", subject.account), ("client", subject.client),
    )  # fmt: skip


def _overlap(a: IPv4Network | IPv6Network, b: IPv4Network | IPv6Network) -> bool:
    if isinstance(a, IPv4Network):
        return isinstance(b, IPv4Network) and a.overlaps(b)
    return isinstance(b, IPv6Network) and a.overlaps(b)
