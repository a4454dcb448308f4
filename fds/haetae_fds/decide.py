"""From findings to decisions: mode, guards, budgets, merging, time to live.

Rules kept: a victim is never the subject; what is shared is never refused whole; what people must approve arrives as
an alert with the proposed operation; an over-budget block becomes a challenge. What acts and what is only written down
know nothing of each other, so that a detector in shadow changes nothing for the others. Not here: detection, delivery.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from haetae_fds.counters import Decay, Recent, note
from haetae_fds.decision import STRENGTH, Action, Api, Decision, Mode, Number, Op, Subject, policy_id
from haetae_fds.facts import OFFENSE, Facts
from haetae_fds.features_faults import GUARD_DEVICES, devices_at_fault, in_incident
from haetae_fds.finding import Finding, api_ref
from haetae_fds.guards import Guards
from haetae_fds.impact import hit_by, is_beside, lives_there
from haetae_fds.ledger import CONDITIONS, NETWORKS, Active, Ledger, cap_of, keys_of_subject
from haetae_fds.settings import EngineSettings
from haetae_fds.state import HOUR, MIN10, MINUTE

if TYPE_CHECKING:
    from haetae_fds.event import Event
    from haetae_fds.features import Features

ESCALATE_AFTER = MINUTE
SHARED = 5
WIDEN_RARE = 3
WIDEN_POPULAR = 8
_OF_FAULTS = frozenset({"replay", "bad_signature", "decrypt_failure", "app_analysis"})
_NOBODY = Subject()


class Decider:
    """Turns findings into decisions and remembers what is in force."""

    def __init__(self, settings: EngineSettings, features: Features) -> None:
        self.settings = settings
        self.features = features
        self.guards = Guards(settings)
        self.ledger = Ledger()
        self.noted = Ledger()
        self._incidents: list[Decision] = []

    def decide(self, f: Facts, findings: list[Finding]) -> list[Decision]:
        """Return the decisions of one event, strongest first for equal subjects."""
        made = []
        for finding in findings:
            if self.counts(finding):
                self._heat(f)
            last = None
            for subject in finding.subjects:
                paid = False
                for api in (finding.api, *finding.also):
                    decision = self._one(f, finding, subject, api, paid=paid)
                    if decision is not None:
                        made.append(decision)
                        last, paid = decision, True
            if last is not None and (wider := self._widen(f, finding, last)) is not None:
                made.append(wider)
        if f.incident is not None:
            made += self._excuse(f, f.incident)
        if self._incidents:
            made += self._incidents
            self._incidents = []
        return made

    def counts(self, finding: Finding) -> bool:
        """Say whether a finding may have a bearing on anything but itself: not while its detector is in shadow beside
        others that act.
        """
        if finding.shadow is not None:
            return False
        return self.guards.overall_mode is not Mode.ENFORCE or self.guards.mode_of(finding.detector) is Mode.ENFORCE

    def attempts(
        self, event: Event, ip: str, net: str, client: str | None, now: int, *, narrow: bool
    ) -> list[Decision]:
        """Count a refused attempt; extend what is still being run against and near its end."""
        made = [made for ledger in self._ledgers for made in ledger.attempts(event, ip, net, client, now)]
        found = [entry for entry in self.ledger.at_address(ip, net) if is_beside(entry, event, client, now)]
        if found and lives_there(self.features, ip, client, now, narrow=narrow):
            made += [self._spare(entry, event, now) for entry in found]
        return made

    def _spare(self, entry: Active, event: Event, now: int) -> Decision:
        """Ask for more instead of refusing from now on, and charge the detector for who was refused so far."""
        self.guards.hurt(entry.detector, now)
        entry.action, entry.spared, entry.ver = Action.CHALLENGE, True, entry.ver + 1
        number = Number(name="others refused", value=1, limit=0)
        return Decision(
            ts=now, op=Op.PUT, mode=entry.mode, action=entry.action, subject=entry.subject, api=entry.api,
            exp=entry.exp, detector=entry.detector, events=(event.id,), pid=entry.pid, ver=entry.ver,
            why=f"others live at the address, so they are asked for more instead: {number}", numbers=(number,),
            campaign=entry.campaign,
        )  # fmt: skip

    @property
    def _ledgers(self) -> tuple[Ledger, Ledger]:
        return self.ledger, self.noted

    def _in(self, mode: Mode) -> Ledger:
        return self.ledger if mode is Mode.ENFORCE else self.noted

    def adopt(self, settings: EngineSettings, features: Features) -> None:
        """Go on under these settings after saved state was loaded."""
        self.settings, self.features = settings, features
        self.guards.adopt(settings)

    def switch(self, overall: Mode | None, detectors: Mapping[str, Mode]) -> None:
        """Set the modes that stand above the settings', and forget what was decided in other ones."""
        entries = [entry for ledger in self._ledgers for entry in ledger.active.values()]
        before = {entry.detector: self.guards.mode_of(entry.detector) for entry in entries}
        self.guards.switch(overall, detectors)
        changed = {name for name, mode in before.items() if mode is not self.guards.mode_of(name)}
        for entry in [entry for entry in entries if entry.detector in changed]:
            self._in(entry.mode).remove(entry.pid)

    def damp(self, detector: str, subject: Subject, until: int) -> None:
        """Forget what a detector decided on a subject, and keep it in shadow until then."""
        self.guards.damp(detector, subject, until)
        for ledger in self._ledgers:
            for entry in [e for e in ledger.active.values() if e.detector == detector and e.subject == subject]:
                ledger.remove(entry.pid)

    def cancel(self, f: Facts) -> list[Decision]:
        """Take back what stands against an account at the address where its owner has just proved to be."""
        why, proof = "the account's owner signed in from a known device", Number(name="proofs", value=1, limit=1)
        found = [
            ledger.active[pid] for ledger in self._ledgers for pid in ledger.by_key.get(f"account {f.event.acct}", ())
        ]
        return [
            self._take_back(f, entry, why, proof) for entry in found if entry.subject.ip == f.ip and entry.exp > f.now
        ]

    def _excuse(self, f: Facts, kind: str) -> list[Decision]:
        """Take back what was asked of strangers where others live for faults that turn out to be our own mistake."""
        why = f"many established devices have this fault ({kind}), so it is no stranger's"
        devices = Number(name="devices", value=devices_at_fault(f, kind), limit=GUARD_DEVICES)
        return [
            self._take_back(f, entry, why, devices)
            for ledger in self._ledgers
            for entry in list(ledger.active.values())
            if entry.detector in _OF_FAULTS and entry.action is Action.CHALLENGE and entry.exp > f.now
            and f.now - entry.since < MIN10 and (entry.api is None or entry.api.gateway in (None, f.event.gw))
        ]  # fmt: skip

    def _take_back(self, f: Facts, entry: Active, why: str, number: Number) -> Decision:
        self._in(entry.mode).remove(entry.pid)
        return Decision(
            ts=f.now, op=Op.DEL, mode=entry.mode, action=entry.action, subject=entry.subject, api=entry.api,
            exp=f.now, detector=entry.detector, pid=entry.pid, ver=entry.ver + 1, events=(f.event.id,),
            why=why, numbers=(number,), campaign=entry.campaign,
        )  # fmt: skip

    def _one(
        self, f: Facts, finding: Finding, subject: Subject, api: Api | None, *, paid: bool = False
    ) -> Decision | None:
        now = f.now
        asked = finding.action is Action.ALERT or finding.approval
        if subject.ip == "" or not (asked or _named(subject)):
            # Events without a usable address name nobody by it.
            return None
        pid = _name(finding, subject, api)
        mode, note = self.guards.mode(finding.detector, subject, now)
        if mode is Mode.OFF:
            return None
        if mode is Mode.ENFORCE and f.narrow and _broad(subject, api) and not _alone(f, subject):
            mode, note = Mode.SHADOW, "too little is known yet to act on so broad a subject"
        if mode is Mode.ENFORCE and finding.shadow is not None:
            mode, note = Mode.SHADOW, finding.shadow
        live, action = self._in(mode).live(pid, now), finding.action
        if live is not None and finding.rate is not None and now - live.since > ESCALATE_AFTER:
            action = Action.BLOCK
        if self._stands(pid, action, mode, now):
            return None
        held = live.action if live is not None and mode is Mode.ENFORCE else None
        action, approval, guard = self._guarded(f, finding, subject, action, mode, held=held, paid=paid)
        if self._stands(pid, action, mode, now):
            return None
        ledger = self._in(mode)
        live, note = ledger.live(pid, now), guard or note or _warming(f, finding)
        cap = cap_of(subject, pop=f.pop, hosting=f.datacentre)
        life, _ = ledger.lifetime(subject, finding.ttl, cap, now)
        ver = 1 if live is None else live.ver + 1
        ledger.add(
            Active(
                pid=pid, subject=subject, api=api, action=action, mode=mode, detector=finding.detector,
                since=now, exp=now + life, base=life, cap=max(cap, life), ver=ver, campaign=finding.campaign,
                attempts=Decay(), keys=keys_of_subject(subject), client=f.client,
            )
        )  # fmt: skip
        if mode is Mode.ENFORCE and action in (Action.BLOCK, Action.CHALLENGE):
            self._offender(f, subject)
        return Decision(
            ts=now, op=Op.PUT, mode=mode, action=action, subject=subject, api=api, exp=now + life,
            detector=finding.detector, why=finding.why() if note is None else f"{finding.why()}; {note}",
            events=_sample(finding, f), pid=pid, ver=ver, score=finding.score, numbers=finding.numbers,
            rate=finding.rate if action is Action.THROTTLE else None, approval=approval,
            proposal=finding.proposal or (_proposed(finding) if approval else None), campaign=finding.campaign,
        )  # fmt: skip

    def _stands(self, pid: str, action: Action, mode: Mode, now: int) -> bool:
        """Say whether something as strong is in force, or for a decision in shadow is written down."""
        ledgers = (self.ledger,) if mode is Mode.ENFORCE else self._ledgers
        entries = (ledger.live(pid, now) for ledger in ledgers)
        return any(
            entry is not None and (entry.spared or STRENGTH[entry.action] >= STRENGTH[action]) for entry in entries
        )

    def _guarded(
        self,
        f: Facts,
        finding: Finding,
        subject: Subject,
        action: Action,
        mode: Mode,
        *,
        held: Action | None,
        paid: bool,
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
        if finding.api is None and subject in (Subject(user=subject.user), Subject(device=subject.device)):
            return Action.ALERT, True, "everything that somebody does is refused by a person only"
        if subject.ip == f.net_key and f.mobile:
            return Action.ALERT, True, "a mobile carrier's network is never refused as a whole"
        alone = not (subject.user or subject.device or subject.session or subject.account or subject.untrusted)
        if subject.ip is not None and alone and f.pop >= SHARED:
            return Action.ALERT, True, f"{f.pop} established identities share the address"
        if mode is Mode.ENFORCE and not paid:
            return self._afford(f, finding, subject, action, held)
        return action, False, None

    def _afford(
        self, f: Facts, finding: Finding, subject: Subject, action: Action, held: Action | None
    ) -> tuple[Action, bool, str | None]:
        """Spend what the action costs good users; a milder one, or none with a person asked, if that is too much."""
        name, hit = finding.detector, hit_by(self.features, f, subject, action)
        verdict = self.guards.fits(name, action, hit, f.active, f.now)
        over = verdict.broken
        if over is None:
            return action, False, None
        if action is not Action.CHALLENGE:
            if held is Action.CHALLENGE and not verdict.trip:
                return Action.CHALLENGE, False, None
            milder = self.guards.fits(name, Action.CHALLENGE, hit, f.active, f.now, instead=True)
            if milder.broken is None and not verdict.trip:
                return Action.CHALLENGE, False, f"over budget: {over}, so a challenge"
            verdict = milder if milder.broken is not None else verdict
            over = milder.broken or over
        if verdict.trip and self.guards.trip(name, f.now):
            self._incidents.append(_incident(f, finding, over))
        return Action.ALERT, True, f"over budget: {over}, so a person decides"

    def _widen(self, f: Facts, finding: Finding, made: Decision) -> Decision | None:
        """Go one step wider when an attack goes on from other addresses past what was just decided on one.

        What its addresses have in common is the client. One that nobody established has is refused, its strangers
        only; where others have it, strangers who sign in or sign up with it are asked for more.
        """
        subject, api, cluster = made.subject, made.api, f.cluster
        if made.mode is not Mode.ENFORCE or made.action not in (Action.BLOCK, Action.CHALLENGE, Action.THROTTLE):
            return None
        if subject.ip != f.ip or subject.user or subject.session or cluster is None or f.client is None:
            return None
        if any(in_incident(f, kind) for kind in f.faults):
            return None
        if cluster.offenders is None:
            cluster.offenders = Recent(MIN10)
        cluster.offenders.add(f"{f.ip} {f.api_key}", f.now)
        count, rare = cluster.offenders.count(f.now), f.rare
        if count < (WIDEN_RARE if rare else WIDEN_POPULAR):
            return None
        if not rare and not (f.api is not None and (f.api.login or f.api.signup)):
            return None
        limit = WIDEN_RARE if rare else WIDEN_POPULAR
        wider = replace(
            finding, subjects=(), action=Action.BLOCK if rare else Action.CHALLENGE, rate=None,
            api=api if api is not None or rare else api_ref(f),
            what=f"{finding.what}; it goes on from other addresses with one client",
            numbers=(*finding.numbers, Number(name="addresses refused", value=count, limit=limit)),
            campaign=f"client {f.client}",
        )  # fmt: skip
        return self._one(f, wider, Subject(client=f.client, untrusted=True), wider.api)

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
    if subject.session or subject.user or subject.device or subject.account or subject.pw_fp:
        return False
    if subject.ip is None or api is None:
        return True
    return subject.ip.endswith(NETWORKS)


def _alone(f: Facts, subject: Subject) -> bool:
    """Say whether a subject is one address's strangers, where nothing but what is wrong was ever seen."""
    return subject.ip == f.ip and subject.untrusted and f.place is not None and not f.place.fine


def _proposed(finding: Finding) -> str:
    """Name what a person is asked to agree to."""
    return "challenge" if finding.action is Action.CHALLENGE else "block"


def _name(finding: Finding, subject: Subject, api: Api | None) -> str:
    """Return the name of what is decided; alerts about nobody are told apart by what they are about."""
    if finding.action is not Action.ALERT:
        return policy_id(subject, api, Action.BLOCK)
    return policy_id(subject, api, Action.ALERT, about=finding.campaign if subject == _NOBODY else None)


def _warming(f: Facts, finding: Finding) -> str | None:
    """Say what its limits were compared with when that was little."""
    if f.narrow:
        return "little is known yet, so limits are doubled"
    return None if finding.warm else "what is usual for this API is still being learned"


def _named(subject: Subject) -> bool:
    """Say whether a subject names anybody at all."""
    return any(getattr(subject, name) for name in (*CONDITIONS, "ip"))


def _incident(f: Facts, finding: Finding, over: Number) -> Decision:
    """Tell people that a detector was taken out of action."""
    name = finding.detector
    return Decision(
        ts=f.now, op=Op.PUT, mode=Mode.ENFORCE, action=Action.ALERT, subject=Subject(), api=None, exp=f.now + MIN10,
        detector="over_budget", events=(f.event.id,), pid=f"fds_budget_{name}", campaign=f"incident over_budget {name}",
        why=f"{name} went over its budget: {over}; in shadow for ten minutes, then a tenth of subjects for ten more",
        numbers=(over,),
    )  # fmt: skip


def _sample(finding: Finding, f: Facts) -> tuple[str, ...]:
    events = finding.events[-20:]
    return events if f.event.id in events else (*events[-19:], f.event.id)
