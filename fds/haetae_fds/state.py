"""What the engine remembers of each address, device, user, account, session, client and API.

Rules kept: slots only, heavy parts made when first needed, every container bounded. Histories ("homes") are kept by
context (`d:` device, `i:` address, `n:` network, `a:` autonomous system, `c:` client) with the time it was first good.
Not here: how events change it (`features`), what is concluded from it (`detectors`).
"""

from __future__ import annotations

from array import array
from typing import Final

from haetae_fds.counters import Decay, Recent, Spread

S10: Final = 10_000
MINUTE: Final = 60_000
MIN2: Final = 120_000
MIN10: Final = 600_000
HOUR: Final = 3_600_000
HOUR6: Final = 21_600_000
DAY: Final = 86_400_000
MONTH: Final = 30 * DAY
MAX_HOMES: Final = 24
SETTLED: Final = 15 * MINUTE


class Homes:
    """Contexts an identity is at home in: context → (first good, last good)."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at: dict[str, tuple[int, int]] = {}

    def add(self, context: str, now: int) -> None:
        """Note a good use."""
        held = self.at.pop(context, None)
        if held is None and len(self.at) >= MAX_HOMES:
            del self.at[next(iter(self.at))]
        self.at[context] = (held[0] if held is not None and now - held[1] < MONTH else now, now)

    def settled(self, context: str, now: int, *, after: int = SETTLED) -> bool:
        """Say whether the context was first good at least `after` ago, and last within a month."""
        held = self.at.get(context)
        return held is not None and now - held[0] >= after and now - held[1] < MONTH

    def known_since(self) -> int | None:
        """Return when the oldest context was first good."""
        return min((first for first, _ in self.at.values()), default=None)


class Logins:
    """Log-in evidence of an address or network."""

    __slots__ = ("accounts", "accounts_long", "apis", "clients", "failed", "failed_long", "nobody", "nobody_rate",
                 "ok", "ok_long", "repeats", "sample", "stubborn")  # fmt: skip

    def __init__(self) -> None:
        self.accounts = Recent(MIN10)
        self.accounts_long = Recent(HOUR6)
        self.nobody = Recent(MIN10)
        self.nobody_rate = Decay()
        self.failed = Decay()
        self.repeats = Decay()
        self.stubborn: Recent | None = None
        self.ok = Decay()
        self.failed_long = Decay()
        self.ok_long = Decay()
        self.apis: dict[str, int] = {}
        self.clients: dict[str, int] = {}
        self.sample: list[str] = []


class Faults:
    """Envelope faults of an address, untrusted pairs only, or of one (device, address) pair."""

    __slots__ = ("apis", "claimed", "clients", "count", "hot", "kinds", "sample", "seen", "weight")

    def __init__(self) -> None:
        self.seen = 0
        self.hot = 0
        self.clients: dict[str, int] = {}
        self.count: dict[str, Decay] = {}
        self.kinds: dict[str, int] = {}
        self.weight = Decay()
        self.claimed = Recent(MIN10)
        self.apis: dict[str, int] = {}
        self.sample: list[str] = []


class Missing:
    """Paths that were not there."""

    __slots__ = ("paths", "paths_long", "sample")

    def __init__(self) -> None:
        self.paths = Recent(MINUTE)
        self.paths_long = Recent(MIN10)
        self.sample: list[str] = []


class Signups:
    """Names signed up or asked for: at an address, in a network, or (with `ips`) with one client."""

    __slots__ = ("clients", "ips", "names", "rare", "sample")

    def __init__(self) -> None:
        self.names = Recent(MIN10)
        self.ips = Recent(MIN10)
        self.clients: dict[str, int] = {}
        self.rare = 0
        self.sample: list[str] = []


class Place:
    """An address (IPv4 address or IPv6 /64) or a network (/24, /48)."""

    __slots__ = ("faults", "fine", "good", "hot", "kind", "logins", "missing", "net", "offenders", "offenses", "seen",
                 "signups")  # fmt: skip

    def __init__(self) -> None:
        self.seen = 0
        self.hot = 0
        self.net = ""
        self.fine = 0
        self.kind: str | None = None
        self.good: Recent | None = None
        self.logins: Logins | None = None
        self.faults: Faults | None = None
        self.missing: Missing | None = None
        self.signups: Signups | None = None
        self.offenders: Recent | None = None
        self.offenses: list[str] | None = None

    def pop(self, now: int) -> int:
        """Return how many established devices or users were good here in the last 24 hours."""
        return 0 if self.good is None else self.good.count(now)


class Device:
    """A device whose signature was verified at least once."""

    __slots__ = ("client", "good_at", "homes", "hot", "owner", "seen", "signups", "unanswered", "ver")

    def __init__(self) -> None:
        self.seen = 0
        self.hot = 0
        self.good_at = 0
        self.homes = Homes()
        self.ver: str | None = None
        self.client: str | None = None
        self.owner: str | None = None
        self.signups: Recent | None = None
        self.unanswered: tuple[str, int] | None = None


class Account:
    """The name tried at log-in."""

    __slots__ = ("clients", "creds", "creds_home", "creds_long", "creds_slow", "homes", "hot", "ips", "ips_slow",
                 "made_at", "ok_at", "sample", "seen", "suspicion", "user")  # fmt: skip

    def __init__(self) -> None:
        self.seen = 0
        self.hot = 0
        self.user: str | None = None
        self.homes = Homes()
        self.ok_at = 0
        self.made_at = 0
        self.creds: Recent | None = None
        self.creds_slow: Recent | None = None
        self.creds_long: Recent | None = None
        self.creds_home: Recent | None = None
        self.ips: Recent | None = None
        self.ips_slow: Recent | None = None
        self.clients: dict[str, int] = {}
        self.suspicion: Suspicion | None = None
        self.sample: list[str] = []


class Suspicion:
    """A log-in or session that may not be the owner's."""

    __slots__ = ("creds", "events", "reason", "sample", "sensitive", "signs", "strong", "until")

    def __init__(self) -> None:
        self.until = 0
        self.signs = 0
        self.reason = ""
        self.creds = 0
        self.strong = False
        self.events = 0
        self.sensitive = 0
        self.sample: list[str] = []


class User:
    """A signed-in user."""

    __slots__ = ("account", "bare_at", "ctx", "ctx_at", "first_good", "good_at", "homes", "hot", "seen", "suspicion")

    def __init__(self) -> None:
        self.seen = 0
        self.hot = 0
        self.account: str | None = None
        # When he was last good without a verified device.
        self.bare_at = 0
        self.homes = Homes()
        self.good_at = 0
        self.first_good = 0
        self.ctx: tuple[str | None, str] | None = None
        self.ctx_at = 0
        self.suspicion: Suspicion | None = None


class Session:
    """One session and who uses it: (client, system or network, address, device)."""

    __slots__ = ("first", "first_at", "hot", "others", "sample", "seen", "turns")

    def __init__(self) -> None:
        self.seen = 0
        self.hot = 0
        self.first: tuple[str, str, str, str | None] | None = None
        self.first_at = 0
        self.others: dict[tuple[str, str, str, str | None], int] | None = None
        self.turns: Recent | None = None
        self.sample: list[str] = []


class Cluster:
    """All unfamiliar log-ins that look alike (one client fingerprint, or one secret), and who is good with it."""

    __slots__ = ("accounts", "accounts_long", "apis", "clients", "failed", "failed_long", "good", "hot", "ips",
                 "ips_long", "offenders", "ok", "ok_long", "sample", "seen", "signups")  # fmt: skip

    def __init__(self) -> None:
        self.seen = 0
        self.hot = 0
        self.good: Recent | None = None
        self.offenders: Recent | None = None
        self.signups: Signups | None = None
        self.ips: Recent | None = None
        self.accounts: Recent | None = None
        self.ips_long: Recent | None = None
        self.accounts_long: Recent | None = None
        self.failed = Decay()
        self.ok = Decay()
        self.failed_long = Decay()
        self.ok_long = Decay()
        self.clients: dict[str, int] = {}
        self.apis: dict[str, int] = {}
        self.sample: list[str] = []


class Browse:
    """What one actor asked of one API: distinct objects, refusals, steps between ids, gaps between requests."""

    __slots__ = ("alone", "day", "day_at", "denied", "gap_mean", "gap_square", "gaps", "hour", "hour_at", "items",
                 "numbers", "objects", "peak", "requests", "run", "sample", "step", "times", "window_at")  # fmt: skip

    def __init__(self, now: int) -> None:
        self.objects = Recent(MIN10)
        self.denied: Decay | None = None
        self.items = 0
        self.window_at = now
        self.peak = 0
        self.hour = 0
        self.day = 0
        self.day_at = now
        self.alone = 0
        self.requests = 0
        self.hour_at = now
        # Ids and times of the latest requests, in arrays since there are many of these.
        self.numbers: array[int] | None = None
        self.times: array[int] | None = None
        self.step = 0
        self.run = 0
        self.gap_mean = 0.0
        self.gap_square = 0.0
        self.gaps = 0
        self.sample: list[str] = []

    def regular(self) -> bool:
        """Say whether the gaps between requests are more even than people's (coefficient of variation < 0.5)."""
        if self.gaps < 8 or self.gap_mean <= 0:
            return False
        return self.gap_square - self.gap_mean**2 < 0.25 * self.gap_mean**2


class Pair:
    """One actor on one API: requests a minute, the actor's usual number of them, and what was asked."""

    __slots__ = ("browse", "hot", "last_at", "minute", "minute_at", "seen", "usual")

    def __init__(self) -> None:
        self.seen = 0
        self.hot = 0
        self.minute = 0
        self.minute_at = 0
        self.last_at = 0
        self.usual = 0.0
        self.browse: Browse | None = None


class Carriers:
    """Established people of a day: who came with a verified device, and who without."""

    __slots__ = ("bare", "carried")

    def __init__(self) -> None:
        self.carried: Recent | None = None
        self.bare: Recent | None = None

    def add(self, key: str, now: int, *, carried: bool) -> None:
        """Note how somebody came."""
        if carried:
            if self.carried is None:
                self.carried = Recent(DAY)
            self.carried.add(key, now)
        else:
            if self.bare is None:
                self.bare = Recent(DAY)
            self.bare.add(key, now)

    def counts(self, now: int) -> tuple[int, int]:
        """Return how many came with, and how many without."""
        return (
            0 if self.carried is None else self.carried.count(now),
            0 if self.bare is None else self.bare.count(now),
        )


class ApiState:
    """One API and how its users use it."""

    __slots__ = ("asked", "asked_alone", "busy", "by_users", "carriers", "deny_users", "fail_at", "fail_mean",
                 "fail_now", "gw", "hot", "items", "login", "lone_at", "lone_mean", "lone_now", "minutes", "mutating",
                 "name", "objects", "objects_day", "objects_hour", "requests", "route", "runs", "seen", "sensitive",
                 "signup")  # fmt: skip

    def __init__(self) -> None:
        self.seen = 0
        self.hot = 0
        self.gw = ""
        self.name: str | None = None
        self.route: str | None = None
        self.login = 0
        self.mutating = False
        self.sensitive = False
        self.signup = False
        self.requests = 0
        self.by_users = 0
        self.asked = 0
        self.asked_alone = 0
        self.objects = Spread()
        self.objects_hour = Spread()
        self.objects_day = Spread()
        self.items = Spread()
        self.minutes = Spread()
        self.runs = Spread()
        self.busy: dict[str, Recent] = {}
        self.carriers: Carriers | None = None
        self.deny_users: Recent | None = None
        self.fail_at = 0
        self.fail_now = 0
        self.fail_mean: float | None = None
        self.lone_at = 0
        self.lone_now = 0
        self.lone_mean: float | None = None


class Version:
    """One app version: who is active with it, and which established devices fault in the same way right now."""

    __slots__ = ("active", "faulty", "faulty_at", "faulty_since", "hot", "incident_until", "samples", "seen")

    def __init__(self) -> None:
        self.seen = 0
        self.hot = 0
        self.active = Recent(DAY)
        self.faulty: dict[str, Recent] = {}
        self.faulty_at: dict[str, Recent] = {}
        self.faulty_since: dict[str, int] = {}
        self.samples: dict[str, list[str]] = {}
        self.incident_until: dict[str, int] = {}
