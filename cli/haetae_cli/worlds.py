"""Detectors in simulated worlds: warms a world up once, plays each case on a copy of it, and scores what came of it.

The closed loop is real: what the detector decides is in force for the requests that follow, and attackers react.
Nothing here reads a clock; the same shape, case and detector give the same report.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from haetae_demo.attack import CASES, Case, Moment, Shape, Town, Undefended, play_case, play_warm_up
from haetae_demo.attack.chance import chance
from haetae_fds.engine import Engine
from haetae_fds.evaluation import AddressBuckets, ClosedLoop, Label, Recorded, Report, Scoreboard, report
from haetae_fds.finding import Learner
from haetae_fds.flat import event_of
from haetae_fds.settings import EngineSettings

_HOUR_MS: Final = 3_600_000

MakeLoop = Callable[[Town], ClosedLoop]


class EngineDetector:
    """The engine as a detector of flat events; it only learns from those before `train_until_ms`."""

    def __init__(self, settings: EngineSettings, *, train_until_ms: int = 0, scorer: Learner | None = None) -> None:
        self.engine = Engine(settings, scorer=scorer)
        self.train_until_ms = train_until_ms

    def __call__(self, event: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
        """The decisions this event causes, in their JSON form."""
        read = event_of(dict(event))
        if read.ts < self.train_until_ms:
            self.engine.train(read)
            return ()
        return [decision.to_dict() for decision in self.engine.observe(read)]


def operator_settings(town: Town) -> EngineSettings:
    """What an operator of this world would configure: which APIs are sensitive, which open accounts, the decoy."""
    services = town.services
    return EngineSettings(
        sensitive=tuple(re.escape(api.name) for api in services.sensitive),
        signup=(re.escape(services.sign_up.name),),
        decoy_routes=(re.escape(services.decoy.route),),
    )


def engine_loop(town: Town) -> ClosedLoop:
    """The engine in a closed loop, having learnt from all plain hours but the last, as from the day before."""
    return loop_with(lambda: None)(town)


def loop_with(scorer: Callable[[], Learner | None], *, cold: bool = False) -> MakeLoop:
    """As `engine_loop`, with the models beside its rules that `scorer` makes anew for each world.

    `cold`: started with nothing learnt, deciding from the first event on.
    """

    def make(town: Town) -> ClosedLoop:
        until = 0 if cold else _last_plain_hour_ms(town.shape)
        return ClosedLoop(EngineDetector(operator_settings(town), train_until_ms=until, scorer=scorer()))

    return make


def address_loop(town: Town) -> ClosedLoop:
    """The yardstick: address-only buckets."""
    del town
    return ClosedLoop(AddressBuckets().decide)


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmWorld:
    """A world after its warm-up, ready to be copied, and what the warm-up itself was like."""

    state: bytes
    plain: Report

    def copy(self) -> tuple[Town, ClosedLoop]:
        """A town and a loop of one's own."""
        town, loop = pickle.loads(self.state)  # noqa: S301 - made a moment ago by this process
        return town, loop


def warm_world(shape: Shape, make_loop: MakeLoop) -> WarmWorld:
    """Build a world and let it live through its plain hours; the report is about the last of them."""
    town = Town(shape)
    loop = make_loop(town)
    board = Scoreboard()
    recorded: list[Recorded] = []
    before = 0
    for moment in play_warm_up(town, loop):
        if moment.event["ts"] >= _last_plain_hour_ms(shape):
            _count(moment, board, recorded)
        else:
            before = len(loop.decisions)
    plain = report(board, loop, recorded, span_ms=_HOUR_MS, since=before)
    return WarmWorld(state=pickle.dumps((town, loop)), plain=plain)


def play(world: WarmWorld, case: Case) -> Report:
    """Play one case on a copy of the world, and once more undefended to know what the attack would have done."""
    town, loop = world.copy()
    before = len(loop.decisions)
    board = Scoreboard(planned(world, case))
    recorded: list[Recorded] = []
    for moment in play_case(town, case, loop):
        _count(moment, board, recorded)
    return report(board, loop, recorded, span_ms=town.shape.minutes * 60_000, since=before)


def planned(world: WarmWorld, case: Case) -> dict[str, tuple[int, int]]:
    """What each campaign would do undefended: requests, and damage among them."""
    if not case.hostile:
        return {}
    town, _ = world.copy()
    board = Scoreboard()
    for moment in play_case(town, case, Undefended()):
        board.add(moment.event, label_of(moment))
    return {result.campaign: (result.requests, result.harm) for result in board.attacks()}


def record(shape: Shape, case: Case) -> Iterator[Moment]:
    """The events of a warm-up and a case with no defence: for files."""
    town = Town(shape)
    yield from play_warm_up(town, Undefended())
    yield from play_case(town, case, Undefended())


def on_its_day(shape: Shape, case: Case) -> Shape:
    """The same world on a day that no other case of it has, so that recordings of it follow each other in time.

    Cases are dealt to days anew for every seed: what is found on the newest recordings is not always the same kind.
    """
    names = sorted(CASES)
    chance("days", shape.name, shape.seed).shuffle(names)
    return replace(shape, later_days=names.index(case.name))


def chosen(names: Iterable[str]) -> list[Case]:
    """The cases of these names, in the order of the registry; all of them for none. Raises KeyError."""
    wanted = set(names)
    if wanted - CASES.keys():
        raise KeyError(min(wanted - CASES.keys()))
    return [case for case in CASES.values() if not wanted or case.name in wanted]


def label_of(moment: Moment) -> Label:
    """The label of a moment."""
    truth = moment.truth
    return Label(
        id=moment.event["id"],
        attack=truth.attack,
        kind=truth.kind,
        user=truth.user,
        victim=truth.victim,
        harm=truth.harm,
        fresh=truth.fresh,
    )


def _last_plain_hour_ms(shape: Shape) -> int:
    return shape.case_ms - _HOUR_MS


def _count(moment: Moment, board: Scoreboard, recorded: list[Recorded]) -> None:
    label = label_of(moment)
    board.add(moment.event, label)
    recorded.append((moment.event, label, moment.established))
