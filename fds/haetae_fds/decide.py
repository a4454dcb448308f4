"""From findings to decisions: mode, guards, budgets, merging, time to live.

Rules kept: a victim is never the subject; what is shared is never refused whole; what people must approve arrives as
an alert with the proposed operation; an over-budget block becomes a challenge. Not here: detection, delivery.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from haetae_fds.counters import Decay, Recent, note
from haetae_fds.decision import STRENGTH, Action, Api, Decision, Mode, Op, Subject, policy_id
from haetae_fds.facts import OFFENSE, Facts
from haetae_fds.finding import Finding
from haetae_fds.guards import Guards
from haetae_fds.ledger import Active, Ledger, cap_of, keys_of_subject
from haetae_fds.settings import EngineSettings
from haetae_fds.state import HOUR, MIN10, MINUTE

if TYPE_CHECKING:
    from haetae_fds.features import Features

ESCALATE_AFTER = MINUTE
SHARED = 5


class Decider:
    """Turns findings into decisions and remembers what is in force."""

    def __init__(self, settings: EngineSettings, features: Features) -> None:
        self.settings = settings
        self.features = features
        self.guards = Guards(settings)
        self.ledger = Ledger()

    def decide(self, f: Facts, findings: list[Finding]) -> list[Decision]:
        """Return the decisions of one event, strongest first for equal subjects."""
        made = []
        for finding in findings:
            self._heat(f)
            for api in (finding.api, *finding.also):
                for subject in finding.subjects:
                    decision = self._one(f, finding, subject, api)
                    if decision is not None:
                        made.append(decision)
        return made

    def adopt(self, settings: EngineSettings, features: Features) -> None:
        """Go on under these settings after saved state was loaded."""
        self.settings, self.features = settings, features
        self.guards.adopt(settings)

    def switch(self, overall: Mode | None, detectors: Mapping[str, Mode]) -> None:
        """Set the modes that stand above the settings', and forget what was decided in other ones."""
        before = {entry.detector: self.guards.mode_of(entry.detector) for entry in self.ledger.active.values()}
        self.guards.switch(overall, detectors)
        changed = {name for name, mode in before.items() if mode is not self.guards.mode_of(name)}
        for entry in [entry for entry in self.ledger.active.values() if entry.detector in changed]:
            self.ledger.remove(entry.pid)

    def damp(self, detector: str, subject: Subject, until: int) -> None:
        """Forget what a detector decided on a subject, and keep it in shadow until then."""
        self.guards.damp(detector, subject, until)
        for entry in [e for e in self.ledger.active.values() if e.detector == detector and e.subject == subject]:
            self.ledger.remove(entry.pid)

    def cancel(self, f: Facts) -> list[Decision]:
        """Take back what stands against an account at the address where its owner has just proved to be."""
        taken = []
        for pid in list(self.ledger.by_key.get(f"account {f.event.acct}", ())):
            entry = self.ledger.active[pid]
            if entry.subject.ip != f.ip or entry.exp <= f.now:
                continue
            self.ledger.remove(pid)
            taken.append(
                Decision(
                    ts=f.now, op=Op.DEL, mode=entry.mode, action=entry.action, subject=entry.subject, api=entry.api,
                    exp=f.now, detector=entry.detector, pid=pid, ver=entry.ver + 1, events=(f.event.id,),
                    why="the account's owner signed in from a known device", campaign=entry.campaign,
                )
            )  # fmt: skip
        return taken

    def _one(self, f: Facts, finding: Finding, subject: Subject, api: Api | None) -> Decision | None:
        now = f.now
        if subject.ip == "" or (finding.action is not Action.ALERT and not _named(subject)):
            # Events without a usable address name nobody by it.
            return None
        pid = policy_id(subject, api, Action.ALERT if finding.action is Action.ALERT else Action.BLOCK)
        live = self.ledger.live(pid, now)
        action = finding.action
        if live is not None:
            if finding.rate is not None and live.action is not Action.BLOCK and now - live.since > ESCALATE_AFTER:
                action = Action.BLOCK
            if live.mode is Mode.ENFORCE and STRENGTH[live.action] >= STRENGTH[action]:
                return None
        mode, note = self.guards.mode(finding.detector, subject, now)
        if mode is Mode.OFF:
            return None
        if mode is Mode.ENFORCE and f.narrow and _broad(subject, api):
            mode, note = Mode.SHADOW, "too little is known yet to act on so broad a subject"
        if mode is Mode.ENFORCE and finding.shadow is not None:
            mode, note = Mode.SHADOW, finding.shadow
        action, approval, guard = self._guarded(f, finding, subject, action, mode)
        if (
            live is not None
            and STRENGTH[live.action] >= STRENGTH[action]
            and not (live.mode is Mode.SHADOW and mode is Mode.ENFORCE)
        ):  # what stands in shadow keeps nobody out
            return None
        note = guard or note
        hosting = f.place is not None and f.place.kind in ("hosting", "vpn/tor")
        cap = cap_of(subject, pop=f.pop, hosting=hosting)
        life, _ = self.ledger.lifetime(subject, finding.ttl, cap, now)
        ver = 1 if live is None else live.ver + 1
        self.ledger.add(
            Active(
                pid=pid, subject=subject, api=api, action=action, mode=mode, detector=finding.detector,
                since=now, exp=now + life, base=life, cap=max(cap, life), ver=ver, campaign=finding.campaign,
                attempts=Decay(), keys=keys_of_subject(subject),
            )
        )  # fmt: skip
        if action in (Action.BLOCK, Action.CHALLENGE):
            self._offender(f, subject)
        return Decision(
            ts=now, op=Op.PUT, mode=mode, action=action, subject=subject, api=api, exp=now + life,
            detector=finding.detector, why=finding.why() if note is None else f"{finding.why()}; {note}",
            events=_sample(finding, f), pid=pid, ver=ver, score=finding.score, numbers=finding.numbers,
            rate=finding.rate if action is Action.THROTTLE else None, approval=approval,
            proposal=finding.proposal or ("block" if approval else None), campaign=finding.campaign,
        )  # fmt: skip

    def _guarded(
        self, f: Facts, finding: Finding, subject: Subject, action: Action, mode: Mode
    ) -> tuple[Action, bool, str | None]:
        """Return (action, needs approval, which guard changed it)."""
        if action is Action.ALERT:
            return action, finding.approval, None
        event = f.event
        if event.san is not None or (f.place is not None and f.place.kind == "internal"):
            return Action.ALERT, True, "partners and internal networks are never refused by a machine"
        protected = self.guards.refuses(subject)
        if protected is not None:
            return Action.ALERT, True, f"it would match {protected}, which is never refused"
        if finding.approval:
            return Action.ALERT, True, "a subject this broad needs a person's approval"
        if subject.ip == f.net_key and f.place is not None and f.place.kind == "mobile":
            return Action.ALERT, True, "a mobile carrier's network is never refused as a whole"
        alone = not (subject.user or subject.device or subject.session or subject.account or subject.untrusted)
        if subject.ip is not None and alone and f.pop >= SHARED:
            return Action.ALERT, True, f"{f.pop} established identities share the address"
        if action is Action.BLOCK and mode is Mode.ENFORCE:
            broken = self.guards.over_budget(finding.detector, self._hit(f, subject), f.active, f.now)
            if broken is not None:
                return Action.CHALLENGE, False, f"over budget ({broken}), so a challenge"
        return action, False, None

    def _hit(self, f: Facts, subject: Subject) -> int:
        """Estimate how many established identities a subject matches."""
        if subject.untrusted:
            return 0
        if subject.user is not None:
            user = self.features.users.get(subject.user)
            return int(user is not None and user.first_good > 0 and f.now - user.first_good > HOUR)
        if subject.device is not None:
            device = self.features.devices.get(subject.device)
            since = None if device is None else device.homes.known_since()
            return int(since is not None and f.now - since > HOUR)
        if subject.session is not None or subject.account is not None:
            return 1
        if subject.client is not None and f.cluster is not None and f.cluster.good is not None:
            return f.cluster.good.count(f.now)
        return f.pop

    def _offender(self, f: Facts, subject: Subject) -> None:
        """Remember an address that is refused, for the sake of its network."""
        if f.net is None or subject.ip != f.ip:
            return
        if f.net.offenders is None or f.net.offenses is None:
            f.net.offenders, f.net.offenses = Recent(HOUR), []
        if f.net.offenders.add(f.ip, f.now):
            note(f.net.offenses, f.event.id)
            f.triggers |= OFFENSE

    def _heat(self, f: Facts) -> None:
        """Keep what has to do with a running attack out of profiles and in memory."""
        until = f.now + MIN10
        for row in (f.place, f.account, f.pair, f.net_pair, f.fault_pair, f.pw):
            if row is not None:
                row.hot = until


def _broad(subject: Subject, api: Api | None) -> bool:
    """Say whether a subject reaches beyond one identity, or one address's strangers on one API."""
    if subject.session or subject.user or subject.device or subject.account:
        return False
    if subject.client is not None or subject.ip is None or api is None:
        return True
    return subject.ip.endswith(("/24", "/48"))


def _named(subject: Subject) -> bool:
    """Say whether a subject names anybody at all."""
    return bool(subject.session or subject.user or subject.device or subject.account or subject.client or subject.ip)


def _sample(finding: Finding, f: Facts) -> tuple[str, ...]:
    events = finding.events[-20:]
    return events if f.event.id in events else (*events[-19:], f.event.id)
