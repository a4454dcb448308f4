"""The engine: one event in, the decisions it causes out.

Rules kept: the same events in the same order give the same decisions, in every process; time is the events' own.
An event id counts once; events more than thirty seconds behind are set aside; a gateway whose clock is off counts
with the time of the others. Events that were refused only tell that an attack goes on. Not here: delivery, files.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from haetae_fds.address import keys_of
from haetae_fds.clocks import AHEAD, LATE, Clocks
from haetae_fds.decide import Decider
from haetae_fds.decision import Action, Decision, Mode, Number, Op, Subject
from haetae_fds.detectors.registry import DETECTORS
from haetae_fds.errors import StateUnreadable
from haetae_fds.event import Event
from haetae_fds.facts import OFFENSE, Facts
from haetae_fds.features import Features
from haetae_fds.features_login import settle_login
from haetae_fds.finding import Detector, Finding, Learner, Scorer
from haetae_fds.settings import EngineSettings
from haetae_fds.state import MIN10

SEEN_MS: Final = 300_000
SEEN_MAX: Final = 200_000
MAX_SCALED: Final = 0.5
_VERSION: Final = 14
_MAGIC: Final = b"haetae-fds-state\x01"


class Engine:
    """All detectors over one ordered stream of events.

    `counted` says what became of the events: `used`, `refused` (by a policy or limit), `duplicate`, `late`, `skewed`.
    """

    def __init__(
        self,
        settings: EngineSettings | None = None,
        *,
        scorer: Scorer | Learner | None = None,
        rules: Sequence[Detector] = (),
    ) -> None:
        """`rules` are asked after the detectors of the registry, and are not part of the saved state."""
        self.settings = settings or EngineSettings()
        self.scorer = scorer
        self.features = Features(self.settings)
        self.decider = Decider(self.settings, self.features)
        self.detectors: tuple[Detector, ...] = (
            *(make(self.settings.of(make.name).factor) for make in DETECTORS),
            *rules,
        )
        self.counted = {"used": 0, "refused": 0, "duplicate": 0, "late": 0, "skewed": 0}
        self.watermark = 0
        self._started = 0
        self._trained = False
        self._resumed = False
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._clocks = Clocks()
        self._wanted: dict[int, tuple[Detector, ...]] = {}

    def observe(self, event: Event) -> list[Decision]:
        """Count one event and return the decisions it causes, none for nearly every event."""
        return self._observe(event, decide=True)

    def train(self, event: Event) -> None:
        """Count one event of known harmless traffic without deciding anything."""
        self._trained = True
        self._observe(event, decide=False)

    def set_modes(self, overall: Mode | None, detectors: Mapping[str, Mode]) -> None:
        """Switch from the next event on. Where nothing is said (None, a name that is missing) the settings hold.

        What a detector decided in another mode than its new one is forgotten, so that it is decided anew.
        """
        self.decider.switch(overall, detectors)
        self._wanted.clear()

    def damp(self, detector: str, subject: Subject, until: int) -> None:
        """Keep a detector's decisions on a subject in shadow until then (ms), and forget those that stand."""
        self.decider.damp(detector, subject, until)
        if isinstance(self.scorer, Learner):
            self.scorer.told(detector, subject, fraud=False, now=self.watermark)

    def confirm(self, detector: str, subject: Subject) -> None:
        """Let the models learn that a decision was right."""
        if isinstance(self.scorer, Learner):
            self.scorer.told(detector, subject, fraud=True, now=self.watermark)

    def circuits(self) -> dict[str, str]:
        """Return the detectors that were or are over their budget: `closed`, `half-open`, `open`."""
        now = self.watermark
        return {
            name: "open" if now < one.open_until else "half-open" if now < one.half_until else "closed"
            for name, one in self.decider.guards.circuits.items()
        }

    def warm(self) -> dict[str, float]:
        """Return for what share of the requests it compares each detector knows enough to call them normal.

        1 for those that compare with nobody, 0 for all while the engine is cold.
        """
        cold, apis = self._cold(self.watermark), self.features.apis.rows.values()
        shares = {}
        for detector in self.detectors:
            compares = type(detector).knows is not Detector.knows
            known = [(api.requests, said) for api in apis if compares and (said := detector.knows(api)) is not None]
            enough = sum(requests for requests, said in known if said) / max(1, sum(requests for requests, _ in known))
            shares[detector.name] = 0.0 if cold else enough if known else 1.0
        return shares

    def _cold(self, now: int) -> bool:
        return not self._trained and now - self._started < self.settings.narrow_ms

    def _observe(self, event: Event, *, decide: bool) -> list[Decision]:
        if self._duplicate(event):
            return []
        now, said = self._time(event)
        if now is None:
            return said
        if _refused(event):
            self.counted["refused"] += 1
            if isinstance(self.scorer, Learner):
                self.scorer.refused(event, now)
            ip, net = keys_of(event.ip) if event.ip is not None else ("", "")
            client = f"{event.ja4 or ''}|{event.ua or ''}|{event.hdr or ''}"
            return said + self.decider.attempts(event, ip, net, client, now, narrow=self._cold(now))
        self.counted["used"] += 1
        facts = self.features.update(event, now)
        if not facts.triggers:
            return said
        facts.narrow = self._cold(now)
        facts.sensitive_apis = self.features.sensitive_apis
        facts.scale = 2.0 if facts.narrow else 1.0
        if self.scorer is not None and self.scorer.score(facts) > MAX_SCALED:
            facts.scale *= 0.5
        if not decide:
            self._learn(facts, [])
            if facts.passed:
                settle_login(facts)
            return said
        findings = self._ask(facts)
        heard = [finding for finding in findings if self.decider.counts(finding)]
        own = self.scorer.findings(facts, heard) if isinstance(self.scorer, Learner) else []
        findings += own
        self._learn(facts, heard + own)
        if facts.passed and not any(finding.detector == "takeover" for finding in heard):
            settle_login(facts)
            if facts.known_device:
                said += self.decider.cancel(facts)
        if findings:
            said += self.decider.decide(facts, findings)
            if facts.triggers & OFFENSE:
                facts.triggers = OFFENSE
                said += self.decider.decide(facts, self._ask(facts))
        return said

    def _learn(self, facts: Facts, findings: list[Finding]) -> None:
        if isinstance(self.scorer, Learner):
            self.scorer.learn(facts, findings)

    def _ask(self, facts: Facts) -> list[Finding]:
        wanted = self._wanted.get(facts.triggers)
        if wanted is None:
            mode_of = self.decider.guards.mode_of
            wanted = tuple(
                detector
                for detector in self.detectors
                if detector.wants & facts.triggers and mode_of(detector.name) is not Mode.OFF
            )
            self._wanted[facts.triggers] = wanted
        return [finding for detector in wanted if (finding := detector.observe(facts)) is not None]

    def _duplicate(self, event: Event) -> bool:
        seen = self._seen
        if event.id in seen:
            self.counted["duplicate"] += 1
            return True
        seen[event.id] = self.watermark
        if len(seen) > SEEN_MAX:
            seen.popitem(last=False)
        while seen[first := next(iter(seen))] < self.watermark - SEEN_MS:
            del seen[first]
        return False

    def _time(self, event: Event) -> tuple[int | None, list[Decision]]:
        """Return the event's time, None when it is too late, and what is to be said about its gateway's clock."""
        ts = event.ts
        if not self._started:
            self._started = self.watermark = ts
        if self._resumed:
            self._resumed = False
            if ts - self.watermark > MIN10:
                # What was known has aged: careful again, as if cold.
                self._started, self._trained = ts, False
        said: list[Decision] = []
        if self._clocks.ahead(event.gw, ts, self.watermark):
            self.counted["skewed"] += 1
            return self.watermark, self._skew(event)
        settled = self._clocks.settle(event.gw, ts, self.watermark)
        if settled is not None:
            self.watermark = settled
        if ts >= self.watermark:
            self.watermark = ts
            return ts, said
        if self.watermark - ts > LATE:
            self.counted["late"] += 1
            return None, said
        return ts, said

    def _skew(self, event: Event) -> list[Decision]:
        if not self._clocks.tell(event.gw, self.watermark):
            return []
        number = Number(name="milliseconds ahead", value=event.ts - self.watermark, limit=AHEAD)
        return [
            Decision(
                ts=self.watermark, op=Op.PUT, mode=Mode.ENFORCE, action=Action.ALERT, subject=Subject(), api=None,
                exp=self.watermark + MIN10, detector="clock_skew", events=(event.id,), pid=f"fds_clock_{event.gw}",
                why=f"the clock of gateway {event.gw} is ahead: {number}", numbers=(number,),
            )
        ]  # fmt: skip

    def dump(self) -> bytes:
        """Return the whole state, checksummed."""
        body = pickle.dumps(
            (
                _VERSION,
                self.features,
                self.decider,
                self.counted,
                self.watermark,
                self._started,
                self._seen,
                self._clocks,
                self._trained,
                self.scorer.dump() if isinstance(self.scorer, Learner) else None,
            ),
            protocol=5,
        )
        return _MAGIC + sha256(body).digest() + body

    def load(self, saved: bytes) -> None:
        """Continue from saved state under this engine's settings; a trusted file only, for it is a pickle.

        An engine that had not seen enough to act on broad subjects goes on being careful for the rest of that time; one
        whose state is more than ten minutes older than the next event is careful from then on, as if cold.

        Raises:
            StateUnreadable: damaged, or of another version.
        """
        body = saved[len(_MAGIC) + 32 :]
        if not saved.startswith(_MAGIC) or sha256(body).digest() != saved[len(_MAGIC) : len(_MAGIC) + 32]:
            raise StateUnreadable("saved state is damaged")
        try:
            state = pickle.loads(body)  # noqa: S301 - our own file, checked above
        except (AttributeError, ImportError, pickle.UnpicklingError) as error:
            raise StateUnreadable("saved state is of another version") from error
        if state[0] != _VERSION:
            raise StateUnreadable("saved state is of another version")
        _, self.features, self.decider, self.counted, self.watermark, self._started, self._seen = state[:7]
        self._clocks, self._trained, learnt = state[7:]
        if learnt is not None and isinstance(self.scorer, Learner):
            self.scorer.load(learnt)
        self._resumed = True
        self.features.adopt(self.settings)
        self.decider.adopt(self.settings, self.features)
        self._wanted.clear()


def _refused(event: Event) -> bool:
    """Say whether a policy or a limit kept the request from being served."""
    if event.rl:
        return True
    pol, status = event.pol, event.status
    if pol is None:
        return False
    return pol == "block" or (pol == "challenge" and status in (401, 403)) or (pol == "throttle" and status == 429)
