"""``haetae fds train`` and ``haetae fds propose``: learn from recorded events and what is known about them."""

import argparse
import time
from pathlib import Path

from haetae_fds import EngineSettings
from haetae_fds.errors import ModelInvalid, TrainingFailed
from haetae_fds.models.rulefile import write_rules

from haetae_cli.errors import InputInvalid
from haetae_cli.fds_files import needed, read_truth, recordings, settings_arguments
from haetae_cli.terminal import Terminal, printable

HOUR_MS = 3_600_000
MAX_HOURS = 30 * 24


def train_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``train``."""
    _sources(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder of models; made if need be")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the folder's key, if it is kept elsewhere")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="(default: 1)")
    parser.add_argument(
        "--cost-false", type=_cost, default=20.0, metavar="X", help="of a good customer lost (default: 20)"
    )
    parser.add_argument(
        "--drop-out", type=_share, default=0.1, metavar="S", help="of good customers who are challenged (default: 0.1)"
    )
    parser.add_argument(
        "--cost-missed", type=_cost, default=1.0, metavar="X", help="of an attacker's minute (default: 1)"
    )


def propose_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``propose``."""
    _sources(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the rule file to write")
    parser.add_argument(
        "--hours", type=_hours, default=24, metavar="N", help="the rules end after so many (default: 24)"
    )


def run_train(args: argparse.Namespace, settings: EngineSettings) -> int:
    """Train, register in shadow, and print the card."""
    try:
        from haetae_fds.io.models import ModelFolder
        from haetae_fds.models.card import card, markdown
        from haetae_fds.models.measures import Costs
        from haetae_fds.models.roles import OFFLINE
        from haetae_fds.models.rows import collect
        from haetae_fds.models.train import train
    except ModuleNotFoundError as error:
        raise needed(error, "training") from error
    folder = ModelFolder(args.out, key=args.key)
    costs = Costs(false=args.cost_false, drop_out=args.drop_out, missed=args.cost_missed)
    now = _now()
    try:
        folder.make()
        version = folder.registry().newest(OFFLINE) + 1
        collected = collect(recordings(args.events), read_truth(args.labels), settings)
        trained = train(collected, version=version, seed=args.seed, costs=costs)
        written = card(trained, collected, made=now, costs=costs, seed=args.seed)
        folder.add(trained.model, written, markdown(written), now=now)
    except (ModelInvalid, TrainingFailed) as error:
        raise InputInvalid(str(error)) from error
    Terminal.standard().line(markdown(written))
    return 0


def run_propose(args: argparse.Namespace, settings: EngineSettings) -> int:
    """Propose rules, write them down, and print what they would have done."""
    try:
        from haetae_fds.models.propose import propose
        from haetae_fds.models.rows import collect
    except ModuleNotFoundError as error:
        raise needed(error, "training") from error
    collected = collect(recordings(args.events), read_truth(args.labels), settings)
    found = propose(collected, expires=_now() + args.hours * HOUR_MS)
    rules = [proposal.rule for proposal in found]
    try:
        args.out.write_bytes(write_rules(rules, more=[{"backtest": one.backtest.to_dict()} for one in found]))
    except OSError as error:
        raise InputInvalid(f"{args.out}: {error.strerror}") from error
    terminal = Terminal.standard()
    head = ("rule", "for", "precision", "recall", "people a day", "when")
    terminal.table(
        [
            head,
            *(
                (
                    one.rule.name,
                    printable(one.campaign, most=40),
                    f"{one.backtest.precision:.3f}",
                    f"{one.backtest.recall:.3f}",
                    f"{one.backtest.people_per_day:.2f}",
                    one.rule.text(),
                )
                for one in found
            ),
        ]
    )
    terminal.line(
        f"{len(found)} rules in {args.out}, in shadow; try them with: haetae fds replay --rules {args.out} FILE"
    )
    return 0


def _sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("events", nargs="+", type=Path, metavar="EVENTS", help="recordings, one JSON object a line")
    parser.add_argument(
        "--labels", action="append", type=Path, required=True, metavar="FILE",
        help="labels of events, or verdicts from `haetae fds labels`; may be repeated",
    )  # fmt: skip
    settings_arguments(parser)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _cost(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError("must be above 0 and at most 1")
    return value


def _hours(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MAX_HOURS:
        raise argparse.ArgumentTypeError(f"must be from 1 to {MAX_HOURS}")
    return value
