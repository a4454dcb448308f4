"""The models beside the rules: what each of them says of an event, and what may come of that.

Three models: `model_novelty` (unlike harmless traffic), `model_labels` (learns from verdicts while running) and, if one
was trained, `model_offline`, with the version that may follow it, `model_challenger`, watching beside it. A score above
0.5 by a model that may act halves the rules' limits for this event. Of its own a model asks for more proof, or slows a
heavy reader down: a trained one at its threshold, which was chosen by how many people it hits, the others when three
events of a caller within ten minutes were beyond the boundary. It refuses only if it was promoted to that.

Rules kept: scoring changes nothing; only unflagged events are learnt from; a model that is warming up has no say and
says so; in shadow, after a drift, or beyond 0.2 % of the active identities a day, what it finds is written down and
does not act. Deterministic, bounded, picklable. Not here: guards, the rules, files.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from haetae_fds.address import keys_of
from haetae_fds.counters import Decay, Recent, note
from haetae_fds.decision import Action, Subject
from haetae_fds.event import Event
from haetae_fds.facts import OBJECT, VOLUME, Facts
from haetae_fds.features_faults import in_incident
from haetae_fds.finding import Finding, Learner, api_ref, number
from haetae_fds.models.conformal import Thresholds, segment_of
from haetae_fds.models.drift import Drift, Moved
from haetae_fds.models.gate import Gate, flagged
from haetae_fds.models.labelled import PRECISE, Labelled
from haetae_fds.models.novelty import Novelty
from haetae_fds.models.review import REVIEW, WHY, Review
from haetae_fds.models.roles import CHALLENGER, LABELS, MODELS, NOVELTY, OFFLINE, Role
from haetae_fds.models.subject import subject_of
from haetae_fds.models.summary import ModelSummary, Summary
from haetae_fds.models.trees import TrainedModel, interpolate
from haetae_fds.models.vector import FEATURES, INDEX, VECTOR, scaled, vector
from haetae_fds.state import DAY, HOUR, MIN10, MINUTE

STRIKES: Final = 2.5
MAX_ACTORS: Final = 20_000
TOLD: Final = 3
READING: Final = 4
IMPACT_SHARE: Final = 0.002
_RATE: Final = (30, 60)
_STATE: Final = 3
_OWN: Final = frozenset({*MODELS, REVIEW})
_SPAN: Final = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """`alpha`: the share of a segment's harmless events beyond the boundary. `least`: samples that make a boundary."""

    roles: Mapping[str, Role] = field(default_factory=dict)
    alpha: float = 0.001
    least: int = 20_000
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one model says of one event. `score` in [0, 1], 0.5 the boundary; None: it is warming up. `warm`: False for
    a trained model that has not seen enough of this service's harmless traffic: it knows only its own threshold.
    """

    model: str
    score: float | None
    strangeness: float | None = None
    p: float | None = None
    probability: float | None = None
    warm: bool = True


class Strikes:
    """One caller's events beyond one model's boundary."""

    __slots__ = ("count", "events", "told_at")

    def __init__(self) -> None:
        self.count = Decay()
        self.events: list[str] = []
        self.told_at = 0


class _State:
    """Everything that changes."""

    def __init__(self, settings: ModelSettings) -> None:
        self.vector = VECTOR
        self.novelty = Novelty(seed=settings.seed)
        self.labelled = Labelled()
        self.thresholds = {
            name: Thresholds(alpha=settings.alpha, least=settings.least, early=name in (OFFLINE, CHALLENGER))
            for name in MODELS
        }
        self.gate = Gate()
        self.drift = Drift()
        self.strikes: OrderedDict[str, Strikes] = OrderedDict()
        self.hit = Recent(DAY)
        self.usual = [0.0] * len(FEATURES)
        self.alarms: list[Moved] = []
        self.review = Review()
        self.judged = dict.fromkeys(MODELS, 0)
        self.beyond = dict.fromkeys(MODELS, 0)


class ModelScorer(Learner):
    """All models, as the engine's scorer."""

    def __init__(
        self,
        settings: ModelSettings | None = None,
        *,
        trained: TrainedModel | None = None,
        challenger: TrainedModel | None = None,
    ) -> None:
        self.settings = settings or ModelSettings()
        self.trained = {name: one for name, one in ((OFFLINE, trained), (CHALLENGER, challenger)) if one is not None}
        self.state = _State(self.settings)
        self._facts: Facts | None = None
        self._row: list[float] = []
        self._x: dict[str, float] = {}
        self._segment = ""
        self._said: tuple[Said, ...] = ()
        #: Since this process began; no part of what was learnt.
        self.drifts = 0
        self.over_budget = dict.fromkeys((NOVELTY, LABELS, *self.trained), 0)

    def fresh(self) -> ModelScorer:
        """Return the same models with nothing learnt, for another engine."""
        trained, challenger = self.trained.get(OFFLINE), self.trained.get(CHALLENGER)
        return ModelScorer(self.settings, trained=trained, challenger=challenger)

    def say(self, facts: Facts) -> tuple[Said, ...]:
        """Return what every model says of an event."""
        self._look(facts)
        return self._said

    def score(self, facts: Facts) -> float:
        """Return the highest score of the models that may act; 0 is no word, not a good one."""
        self._look(facts)
        return max(
            (one.score for one in self._said if one.score is not None and self._keeps_from(one, facts.now) is None),
            default=0.0,
        )

    def findings(self, facts: Facts, heard: Sequence[Finding] = ()) -> list[Finding]:
        """Return what models find by themselves."""
        self._look(facts)
        made = [self._drifted(facts, told) for told in self.state.alarms]
        self.drifts += len(made)
        self.state.alarms = []
        beyond = []
        for one in self._said:
            self.state.judged[one.model] += one.score is not None
            if one.score is not None and one.score > 0.5:
                self.state.beyond[one.model] += 1
                beyond.append(one)
        made += [self._finding(one, facts, events) for one in beyond if (events := self._strikes(one.model, facts))]
        strange = next((one for one in beyond if one.model == NOVELTY), None)
        if strange is not None and not made and not flagged(facts, heard):
            made += self._review(strange, facts)
        return made

    def learn(self, facts: Facts, findings: Sequence[Finding]) -> None:
        """Learn from an event that was judged: by the rules' and the models' findings."""
        self._look(facts)
        if not self._said:
            return
        state, now, row = self.state, facts.now, self._row
        rules = [finding for finding in findings if finding.detector not in _OWN]
        against = flagged(facts, rules)
        novel = self._said[0]
        state.labelled.settle(now)
        acting = [finding for finding in findings if finding.action is not Action.ALERT]
        if acting:
            precise = any(one.detector in PRECISE and one.action is Action.BLOCK and one.warm for one in acting)
            keys = [label_key(one.detector, subject) for one in acting for subject in one.subjects]
            state.labelled.suspect(facts.actor, keys, row, now, precise=precise)
        if facts.event.pol == "challenge":
            state.labelled.challenged(facts.actor, now, passed=True, row=row)
        admitted = state.gate.admits(self._segment, now, flagged=against, p=novel.p, hit=bool(rules))
        if not against:
            # What is calibrated on must be what is judged: strange but unflagged events count here, slowly or not.
            self._calibrate(facts)
        if not admitted:
            return
        state.novelty.learn(self._x)
        state.labelled.harmless(facts.actor, row, now)
        for index, value in enumerate(row):
            state.usual[index] += (value - state.usual[index]) * 0.001

    def refused(self, event: Event, now: int) -> None:
        """Note a request that a policy or limit kept out: a challenge that was not met is a weak sign."""
        if event.pol == "challenge" and not event.rl:
            self.state.labelled.challenged(_actor_of(event), now, passed=False)

    def told(self, detector: str, subject: Subject, *, fraud: bool, now: int) -> None:
        """Learn from what a person said about a decision."""
        if self.state.labelled.told(label_key(detector, subject), now, fraud=fraud) and fraud:
            for segment in self.state.gate.segments:
                self.state.gate.hit(segment, now)

    def dump(self) -> bytes:
        """Return what was learnt."""
        return pickle.dumps((_STATE, self.state), protocol=5)

    def load(self, saved: bytes) -> bool:
        """Go on from what was learnt (our own file only, for it is a pickle).

        Returns whether that was possible: what was learnt from other features is left and the models begin anew.
        """
        version, state = pickle.loads(saved)  # noqa: S301 - part of the engine's own checked state
        if version != _STATE or state.vector != VECTOR:
            return False
        for name, thresholds in state.thresholds.items():
            thresholds.alpha, thresholds.least = self.state.thresholds[name].alpha, self.state.thresholds[name].least
        self.state = state
        self._facts = None
        return True

    def summary(self, now: int) -> Summary:
        """Return of each model what it may do, whether it is warm, and how much it judged and found, for people."""
        state = self.state
        warm = {NOVELTY: state.novelty.learnt, LABELS: sum(state.labelled.seen)}
        return Summary(
            models=tuple(
                ModelSummary(
                    model=name,
                    version=self.trained[name].version if name in self.trained else 1,
                    role=self.role(name).value,
                    drifted=state.drift.shadowed(name, now),
                    warm=state.thresholds[name].warm,
                    learnt=warm.get(name),
                    judged=state.judged[name],
                    beyond=state.beyond[name],
                    over_budget=self.over_budget[name],
                    segments=tuple(sorted(segment for segment, _, own in state.thresholds[name].states() if own)),
                )
                for name in (NOVELTY, LABELS, *self.trained)
            ),
            gate=dict(state.gate.counted),
            drifts=self.drifts,
        )

    def role(self, model: str) -> Role:
        """Return what a model may do by its stage; a challenger only watches."""
        if model == CHALLENGER:
            return Role.SHADOW
        return self.settings.roles.get(model, Role.SHADOW)

    def _look(self, facts: Facts) -> None:
        """Judge an event once, whoever asks first."""
        if facts is self._facts:
            return
        self._facts = facts
        if _one_of_many(facts) or _our_mistake(facts):
            self._said = ()
            return
        row = self._row = vector(facts)
        x = self._x = scaled(row)
        self._segment = segment_of(facts)
        state = self.state
        said = [
            self._said_of(NOVELTY, state.novelty.strangeness(x)),
            self._said_of(LABELS, state.labelled.strangeness(x)),
        ]
        said += [self._trained(name, model, row) for name, model in self.trained.items()]
        self._said = tuple(said)

    def _said_of(self, model: str, strangeness: float | None) -> Said:
        if strangeness is None:
            return Said(model=model, score=None)
        thresholds = self.state.thresholds[model]
        p = thresholds.p(self._segment, strangeness)
        if p is None:
            return Said(model=model, score=None, strangeness=strangeness)
        score = thresholds.score(p)
        if model == LABELS:
            # Rare is not enough: it must also look more like fraud than not.
            score = min(score, strangeness)
        return Said(model=model, score=score, strangeness=strangeness, p=p)

    def _trained(self, name: str, trained: TrainedModel, row: Sequence[float]) -> Said:
        margin = trained.margin(row)
        probability = interpolate(trained.knots, margin)
        score = trained.score(probability)
        # Calibration has steps, on which the strange and the very strange are the same; the sum of the trees has none.
        strangeness = min(1.0, max(0.0, 0.5 + margin / (2 * _SPAN)))
        thresholds = self.state.thresholds[name]
        p = thresholds.p(self._segment, strangeness)
        if p is not None:
            score = min(score, thresholds.score(p))
        return Said(model=name, score=score, strangeness=strangeness, p=p, probability=probability, warm=p is not None)

    def _calibrate(self, facts: Facts) -> None:
        state, now = self.state, facts.now
        for one in self._said:
            if one.strangeness is not None:
                state.thresholds[one.model].add(self._segment, one.strangeness, now)
            if one.score is not None:
                told = state.drift.score(one.model, one.score, now)
                if told is not None:
                    self.state.alarms.append(told)
        self.state.alarms += state.drift.row(list(self._x.values()), MODELS, now)

    def _acts(self, model: str, now: int) -> bool:
        return self.role(model) is not Role.SHADOW and not self.state.drift.shadowed(model, now)

    def _keeps_from(self, one: Said, now: int) -> str | None:
        """Return why what a model says is only written down; None if it may act."""
        if not self._acts(one.model, now):
            return "a model in shadow"
        return None if one.warm else "a model that has not seen enough of this service yet"

    def _strikes(self, model: str, facts: Facts) -> tuple[str, ...]:
        """Count an event beyond a boundary; return those it stands on if it is time to speak, once a minute and
        caller at most.
        """
        strikes, now, key = self.state.strikes, facts.now, f"{model} {facts.actor}"
        one = strikes.pop(key, None) or Strikes()
        strikes[key] = one
        if len(strikes) > MAX_ACTORS:
            strikes.popitem(last=False)
        note(one.events, facts.event.id)
        enough = 0.0 if model in self.trained else STRIKES
        if one.count.add(now, MIN10) < enough or (one.told_at and now - one.told_at < MINUTE):
            return ()
        one.told_at = now
        return tuple(one.events)

    def _finding(self, one: Said, facts: Facts, events: tuple[str, ...]) -> Finding:
        score = one.score or 0.0
        shadow = self._keeps_from(one, facts.now)
        if shadow is None:
            shadow = self._over_budget(facts)
            self.over_budget[one.model] += shadow is not None
        trained = self.trained.get(one.model)
        action = Action.THROTTLE if facts.triggers & OBJECT else Action.CHALLENGE
        if trained is not None and trained.block is not None and self.role(one.model) is Role.BLOCK:
            action = Action.BLOCK if (one.probability or 0.0) >= trained.block else action
        return Finding(
            detector=one.model,
            version=trained.version if trained is not None else 1,
            action=action,
            subjects=(subject_of(facts),),
            api=api_ref(facts),
            what=f"unlike harmless traffic ({', '.join(self._because(one))})",
            numbers=(number("score", score, 0.5),),
            events=events,
            ttl=MIN10,
            score=score,
            rate=_RATE if action is Action.THROTTLE else None,
            campaign=f"{one.model} {facts.net_key or facts.actor}",
            shadow=shadow,
        )

    def _review(self, strange: Said, facts: Facts) -> list[Finding]:
        """Write down a caller whom nobody flagged, for people to judge."""
        if not self.state.review.picks(facts.actor, facts.now):
            return []
        return [
            Finding(
                detector=REVIEW,
                version=1,
                action=Action.CHALLENGE,
                subjects=(subject_of(facts),),
                api=api_ref(facts),
                what=f"unlike harmless traffic ({', '.join(self._because(strange))})",
                numbers=(number("score", strange.score or 0.0, 0.5),),
                events=(facts.event.id,),
                ttl=HOUR,
                score=strange.score or 0.0,
                shadow=WHY,
            )
        ]

    def _because(self, one: Said) -> list[str]:
        """Name the features that tell most, each with its value and the usual one."""
        trained = self.trained.get(one.model)
        if trained is not None:
            found, usual = trained.contributions(self._row), trained.medians
        elif one.model == LABELS:
            found, usual = self.state.labelled.contributions(self._x), tuple(self.state.usual)
        else:
            usual = tuple(self.state.usual)
            far = scaled(usual)
            found = sorted(
                ((name, abs(value - far[name])) for name, value in self._x.items()),
                key=lambda pair: (-pair[1], pair[0]),
            )
        return [f"{name} {self._row[INDEX[name]]:.3g}, usually {usual[INDEX[name]]:.3g}" for name, _ in found[:TOLD]]

    def _over_budget(self, facts: Facts) -> str | None:
        """Count an established identity that a model hits; more than two in a thousand a day are too many."""
        if facts.user is None and not facts.trusted:
            return None
        hit = self.state.hit
        if not hit.holds(facts.actor, facts.now) and hit.count(facts.now) >= max(1.0, IMPACT_SHARE * facts.active):
            return "models have asked 0.2 % of those active today"
        hit.add(facts.actor, facts.now)
        return None

    def _drifted(self, facts: Facts, told: Moved) -> Finding:
        return Finding(
            detector="model_drift",
            version=1,
            action=Action.ALERT,
            subjects=(Subject(),),
            api=None,
            what=f"{told.what}; the models concerned only watch for a day",
            numbers=(told.number,),
            events=(facts.event.id,),
            ttl=DAY,
            campaign="model_drift",
        )


def _one_of_many(f: Facts) -> bool:
    """Say whether an event is passed over: of those who only read much, every fourth request is judged."""
    if f.triggers & ~(OBJECT | VOLUME) or f.pair is None or f.pair.browse is None:
        return False
    return f.pair.browse.requests % READING != 0


def _our_mistake(f: Facts) -> bool:
    """Say whether an established pair has the very faults that many have at once: neither judged nor learnt from."""
    return f.trusted and bool(f.faults) and all(in_incident(f, kind) for kind in f.faults)


def label_key(detector: str, subject: Subject) -> str:
    """Return the name under which a decision's event is remembered for a person's verdict."""
    return f"{detector} {subject.to_dict()!r}"


def _actor_of(event: Event) -> str:
    """Return who an event's facts would name as the actor."""
    if event.user_v and event.user is not None:
        return f"u:{event.user}"
    if event.san is not None:
        return f"s:{event.san}"
    if event.dev_v and event.dev is not None:
        return f"d:{event.dev}"
    return f"i:{keys_of(event.ip)[0] if event.ip is not None else ''}"
