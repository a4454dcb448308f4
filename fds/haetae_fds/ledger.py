"""Decisions in force: merging per subject, repeats, extension, taking back; and finding them by who is refused.

Rules kept: bounded; event time only. Not here: whether a decision is allowed (`guards`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from haetae_fds.counters import Decay, Recent, stable
from haetae_fds.decision import Action, Api, Decision, Mode, Number, Op, Subject
from haetae_fds.event import Event
from haetae_fds.state import DAY, HOUR, MIN10, MINUTE

MAX_ACTIVE: Final = 100_000
MAX_PAST: Final = 100_000
CAP: Final = DAY
CAP_ADDRESS: Final = 2 * HOUR
CAP_SHARED: Final = 15 * MINUTE
CAP_NETWORK: Final = HOUR
NETWORKS: Final = ("/24", "/48")
FASTER: Final = 10
STILL_GUESSING: Final = 4
CONDITIONS: Final = ("session", "user", "device", "account", "pw_fp", "client")


@dataclass(slots=True, kw_only=True)
class Active:
    """One decision in force. `client`: whose doing it was; `spared`: it has become milder for others' sake."""

    pid: str
    subject: Subject
    api: Api | None
    action: Action
    mode: Mode
    detector: str
    since: int
    exp: int
    base: int
    cap: int
    ver: int
    campaign: str | None
    attempts: Decay
    keys: tuple[str, ...]
    client: str | None = None
    spared: bool = False
    tried: Recent | None = None


class Ledger:
    """What is in force, and what was in the last day."""

    def __init__(self) -> None:
        self.active: OrderedDict[str, Active] = OrderedDict()
        self.by_key: dict[str, dict[str, None]] = {}
        self.past: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def live(self, pid: str, now: int) -> Active | None:
        """Return the decision of that name if it is in force."""
        held = self.active.get(pid)
        if held is None:
            return None
        if held.exp <= now:
            self.remove(pid)
            return None
        return held

    def add(self, entry: Active) -> None:
        """Put a decision in force, dropping what has run out."""
        while self.active and (len(self.active) >= MAX_ACTIVE or next(iter(self.active.values())).exp <= entry.since):
            self.remove(next(iter(self.active)))
        if entry.pid in self.active:
            self.remove(entry.pid)
        self.active[entry.pid] = entry
        for key in entry.keys:
            self.by_key.setdefault(key, {})[entry.pid] = None

    def remove(self, pid: str) -> Active | None:
        """Take a decision out of force."""
        entry = self.active.pop(pid, None)
        if entry is None:
            return None
        for key in entry.keys:
            pids = self.by_key.get(key)
            if pids is not None:
                pids.pop(pid, None)
                if not pids:
                    del self.by_key[key]
        return entry

    def lifetime(self, subject: Subject, base: int, cap: int, now: int) -> tuple[int, int]:
        """Return (ms, repeat): four times as long per offence in the last day, ±10 %, and note the offence."""
        name = repr(subject.to_dict())
        count, at = self.past.pop(name, (0.0, now))
        count *= 0.5 ** (max(0, now - at) / DAY)
        repeat = round(count)
        while len(self.past) >= MAX_PAST:
            self.past.popitem(last=False)
        self.past[name] = (count + 1, now)
        jitter = 0.9 + 0.2 * (stable(f"{name} {repeat}") % 1000) / 1000
        return min(cap, int(base * 4.0 ** min(repeat, 6) * jitter)), repeat

    def matching(self, event: Event, ip: str, net: str, client: str | None) -> list[Active]:
        """Return the decisions that may have refused this event, by its fields."""
        keys = [f"ip {ip}", f"ip {net}"]
        values = (event.sess, event.user, event.dev, event.acct, event.pw_fp, client)
        keys += [f"{name} {value}" for name, value in zip(CONDITIONS, values, strict=True) if value is not None]
        found: dict[str, Active] = {}
        for key in keys:
            for pid in self.by_key.get(key, ()):
                entry = self.active[pid]
                if pid not in found and _fits(entry, event, ip, net, client):
                    found[pid] = entry
        return list(found.values())

    def at_address(self, ip: str, net: str) -> list[Active]:
        """Return the decisions about an address or its network as such."""
        pids = (*self.by_key.get(f"ip {ip}", ()), *self.by_key.get(f"ip {net}", ()))
        return [self.active[pid] for pid in pids]

    def attempts(self, event: Event, ip: str, net: str, client: str | None, now: int) -> list[Decision]:
        """Count a refused attempt; extend what is still being run against and near its end."""
        extended = []
        for entry in self.matching(event, ip, net, client):
            rate = entry.attempts.add(now, MINUTE)
            guessed = _guessed(entry, event, now)
            left, age = entry.exp - now, now - entry.since
            if (rate > FASTER or guessed >= STILL_GUESSING) and 0 < left < entry.base // 4 and age < entry.cap:
                entry.exp = min(now + entry.base, entry.since + entry.cap)
                entry.ver += 1
                if entry.exp - now > left:
                    extended.append(_extension(entry, event, now, rate, guessed))
        return extended


def keys_of_subject(subject: Subject) -> tuple[str, ...]:
    """Return the one key under which a subject is found again: its most selective condition."""
    for name in CONDITIONS:
        value = getattr(subject, name)
        if value is not None:
            return (f"{name} {value}",)
    return (f"ip {subject.ip}",)


def _fits(entry: Active, event: Event, ip: str, net: str, client: str | None) -> bool:
    subject = entry.subject
    values = (event.sess, event.user, event.dev, event.acct, event.pw_fp, client)
    for name, value in zip(CONDITIONS, values, strict=True):
        wanted = getattr(subject, name)
        if wanted is not None and wanted != value:
            return False
    return subject.ip is None or subject.ip in (ip, net)


def _guessed(entry: Active, event: Event, now: int) -> int:
    """Count the different secrets among refused log-ins of ten minutes: programs that repeat one secret bring one."""
    if event.cred_fp is None:
        return 0
    if entry.tried is None:
        entry.tried = Recent(MIN10)
    entry.tried.add(event.cred_fp, now)
    return entry.tried.count(now)


def _extension(entry: Active, event: Event, now: int, rate: float, guessed: int) -> Decision:
    often = Number(name="refused attempts a minute", value=rate, limit=FASTER)
    number = often if rate > FASTER else Number(name="different secrets", value=guessed, limit=STILL_GUESSING)
    return Decision(
        ts=now, op=Op.EXTEND, mode=entry.mode, action=entry.action, subject=entry.subject, api=entry.api,
        exp=entry.exp, detector=entry.detector, events=(event.id,), pid=entry.pid, ver=entry.ver,
        why=f"refused attempts go on: {number}", numbers=(number,), campaign=entry.campaign,
    )  # fmt: skip


def cap_of(subject: Subject, *, pop: int, hosting: bool) -> int:
    """Return the longest a decision about this subject may last."""
    if subject.pw_fp is not None:
        return CAP_ADDRESS
    if subject.ip is None and subject.client is None:
        return CAP
    if subject.client is not None or pop > 1:
        return CAP_SHARED
    if subject.user or subject.device or subject.session:
        return CAP
    if subject.ip is not None and subject.ip.endswith(NETWORKS):
        return CAP_NETWORK
    return CAP if hosting else CAP_ADDRESS
