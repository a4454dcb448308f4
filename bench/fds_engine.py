"""What the fraud-detection engine costs an event, with and without models. `python -m bench.fds_engine`

Plays a simulated world's plain hours and an attack through engines in this process, twice in a row under new names and
times, and measures the second pass: by then every model is warm and judges. The trained model has the size training
makes (60 trees of 15 leaves) and made-up numbers. CPU time, best of several; one core.
"""

import argparse
import gc
import random
import time
from collections.abc import Callable
from dataclasses import replace

from haetae_cli.worlds import chosen, record
from haetae_demo.attack import SHAPES
from haetae_fds import Action, Engine, Event
from haetae_fds.flat import event_of
from haetae_fds.models.roles import MODELS, NOVELTY, OFFLINE, Role
from haetae_fds.models.rulefile import FileRule, Rule, parse_when
from haetae_fds.models.scorer import ModelScorer, ModelSettings
from haetae_fds.models.trees import Node, TrainedModel, sigmoid_knots
from haetae_fds.models.vector import FEATURES

GOAL = 10_000
TREES, LEAVES = 60, 15
_DAY = 86_400_000


def events(case: str, seed: int, people: int) -> list[Event]:
    """The events of a world with one case, undefended."""
    shape = replace(SHAPES["ordinary"](seed), people=people)
    return [event_of(moment.event) for moment in record(shape, chosen([case])[0])]


def again(recorded: list[Event], number: int) -> list[Event]:
    """The same events days later, under new names."""
    return [replace(event, id=f"{number}-{event.id}", ts=event.ts + number * _DAY) for event in recorded]


def trained() -> TrainedModel:
    """A model of the usual size."""
    rng = random.Random(1)  # noqa: S311 - made-up numbers
    trees = []
    for _ in range(TREES):
        nodes: list[Node] = []
        for index in range(2 * LEAVES - 1):
            left = 2 * index + 1
            if left + 1 < 2 * LEAVES - 1:
                feature = rng.randrange(len(FEATURES))
                nodes.append((feature, rng.random() * FEATURES[feature].limit / 4, left, left + 1))
            else:
                nodes.append((-1, rng.uniform(-0.1, 0.1), 0, 0))
        trees.append(tuple(nodes))
    return TrainedModel(
        name=OFFLINE, version=1, base=-3.0, trees=tuple(trees), knots=sigmoid_knots(),
        medians=(0.0,) * len(FEATURES), challenge=0.9,
    )  # fmt: skip


def engines() -> dict[str, Callable[[], Engine]]:
    """What is measured, by name."""
    roles = dict.fromkeys(MODELS, Role.ENFORCE)
    settings = ModelSettings(roles=roles, alpha=0.005, least=200)
    rules = tuple(
        FileRule(
            Rule(
                name=f"rule_{number}", when=parse_when(f"address_accounts_10m >= {90 + number} and login >= 1"),
                action=Action.CHALLENGE, enforce=False, expires=2**52, why="made up",
            )
        )
        for number in range(10)
    )  # fmt: skip
    return {
        "all rules": Engine,
        "and 10 rules of a file": lambda: Engine(rules=rules),
        "and all models": lambda: Engine(rules=rules, scorer=ModelScorer(settings, trained=trained())),
        "and a challenger": lambda: Engine(
            rules=rules, scorer=ModelScorer(settings, trained=trained(), challenger=trained())
        ),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.fds_engine", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=["plain", "stuffing_distributed", "scraping_slow"])
    args = parser.parse_args()
    gc.set_threshold(50_000, 20, 100)
    for case in args.cases:
        first = events(case, 1, args.people)
        second = again(first, 1)
        print(f"{case}: {len(first)} events")
        for name, make in engines().items():
            best, scored, size = float("inf"), "", 0
            for _ in range(args.rounds):
                engine = make()
                for event in first:
                    engine.observe(event)
                began = time.process_time()
                for event in second:
                    engine.observe(event)
                best = min(best, (time.process_time() - began) / len(second))
                size = len(engine.dump())
                if isinstance(engine.scorer, ModelScorer):
                    scored = f", {engine.scorer.state.judged[NOVELTY]} judged by novelty"
            print(f"  {name:26} {best * 1e6:6.1f} us an event, {1 / best:8,.0f}/s, state {size / 1e6:.1f} MB{scored}")
            if 1 / best < GOAL:
                print(f"  below the goal of {GOAL:,}/s")


if __name__ == "__main__":
    main()
