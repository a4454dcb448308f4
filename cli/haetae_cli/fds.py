"""``haetae fds``: fraud detection at the terminal.

``replay FILE`` prints the decisions that recorded events cause, one JSON object a line, in the events' own time.
Rules kept: standard output carries decisions only; counts go to standard error; only the command that was asked for is
imported.
"""

import argparse
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, Any, TextIO

import orjson
from haetae_fds import EngineSettings, Replay, SettingsInvalid, read_settings

from haetae_cli.errors import CliError
from haetae_cli.fds_files import engine_maker, lines_of, model_arguments, settings_arguments
from haetae_cli.protected import read_protected

READY = b'{"ready": true}\n'
#: Each command: its module, what declares its options, what it is for.
_PEOPLE = {
    "mode": ("fds_mode", "mode_arguments", "switch detection off, to shadow or to enforce, or show what is set"),
    "undo": ("fds_mode", "undo_arguments", "take back what was decided in the last minutes"),
    "explain": ("fds_explain", "arguments", "why a decision was made"),
    "feedback": ("fds_feedback", "arguments", "say that a policy was right, or a false alarm"),
    "labels": ("fds_labels", "arguments", "what was said about decisions, as lines to train from"),
}
_OTHERS = {
    "train": ("fds_train", "train_arguments", "train a model from recorded events and labels"),
    "propose": ("fds_train", "propose_arguments", "propose rules from confirmed attacks"),
    "models": ("fds_models", "arguments", "list models and what they may do; promote, retire"),
    "evaluate": ("fds_evaluate", "arguments", "score the engine on recorded events with labels"),
    "worlds": ("fds_worlds", "arguments", "score the engine in simulated worlds, closed loop"),
    "run": ("fds_run", "arguments", "run one worker process"),
}
_ENGINES = frozenset({"train", "propose", "evaluate", "run"})
_RUNS = {"mode": "run_mode", "undo": "run_undo", "train": "run_train", "propose": "run_propose"}


class LateParser(argparse.ArgumentParser):
    """A command whose options are declared when it was asked for: all modules together take longer to import than the
    switch takes to turn.
    """

    declare: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As its parent, once the options are declared."""
        if self.declare is not None:
            declare, self.declare = self.declare, None
            declare(self)
        return super().parse_known_args(args, namespace)


class FdsRefused(CliError):
    """A recording or settings file cannot be used."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True, parser_class=LateParser)
    replay = commands.add_parser("replay", help="print the decisions that recorded events cause")
    replay.add_argument("file", nargs="?", metavar="FILE", help="events, one JSON object a line (default: -, stdin)")
    replay.add_argument(
        "--interactive",
        action="store_true",
        help='after each event of stdin, answer with its decisions and a line {"ready": true}',
    )
    replay.add_argument(
        "--train",
        nargs="?",
        const="",
        metavar="PLAIN",
        help="learn from harmless traffic first, deciding nothing; without PLAIN, from FILE, or from stdin",
    )
    settings_arguments(replay)
    model_arguments(replay)
    for name, (module, declare, what) in _OTHERS.items():
        _late(commands.add_parser(name, help=what), module, declare)
    common = LateParser(add_help=False)
    common.add_argument("--redis", metavar="URL", help="the store (default: $HAETAE_REDIS_URL, else the local stack's)")
    common.add_argument("--state", type=Path, metavar="DIR", help="the local stack (default: .haetae)")
    for name, (module, declare, what) in _PEOPLE.items():
        _late(commands.add_parser(name, parents=[common], help=what), module, declare)


def _late(parser: LateParser, module: str, declare: str) -> None:
    parser.declare = partial(_declare, module, declare)


def _declare(module: str, declare: str, parser: argparse.ArgumentParser) -> None:
    getattr(_module(module), declare)(parser)


def _module(name: str) -> ModuleType:
    return import_module(f"haetae_cli.{name}")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; return the exit code."""
    if args.what != "replay":
        module, _, _ = {**_PEOPLE, **_OTHERS}[args.what]
        command = getattr(_module(module), _RUNS.get(args.what, "run"))
        return int(command(args, _settings(args)) if args.what in _ENGINES else command(args))
    replay = Replay(engine_maker(args, _settings(args))())
    # Nearly everything the engine makes lives long; looking through it for garbage often is wasted time.
    gc.set_threshold(50_000, 20, 100)
    plain, recorded = (args.train or args.file, None) if args.train == "" else (args.train, args.file)
    if plain is not None or (args.train is not None and not args.interactive):
        with _source(plain or "-") as source:
            for line in filter(bytes.strip, lines_of(source)):
                replay.train(line)
    if args.interactive:
        learns = args.train is not None and plain is None
        _interact(replay, _standard(sys.stdin, "input"), _standard(sys.stdout, "output"), learns=learns)
    elif args.train is None or recorded is not None:
        answers = _standard(sys.stdout, "output")
        with _source(recorded or "-") as source:
            for decision in replay.lines(filter(bytes.strip, lines_of(source))):
                answers.write(decision.to_json() + b"\n")
        answers.flush()
    if sys.stderr is not None:
        print(orjson.dumps(replay.summary()).decode(), file=sys.stderr)
    return 0


def _interact(replay: Replay, source: IO[bytes], answers: IO[bytes], *, learns: bool) -> None:
    for line in lines_of(source):
        # Who sends an empty line waits for the answer as well.
        if learns and line.strip():
            replay.train(line)
        elif line.strip():
            for decision in replay.line(line):
                answers.write(decision.to_json() + b"\n")
        answers.write(READY)
        answers.flush()


def _standard(stream: TextIO | None, name: str) -> IO[bytes]:
    """Return the bytes of a standard stream, which whoever started us may have closed."""
    if stream is None:
        raise FdsRefused(f"standard {name} is closed")
    return stream.buffer


@contextmanager
def _source(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield _standard(sys.stdin, "input")
        return
    with ExitStack() as held:
        try:
            file = held.enter_context(Path(name).open("rb"))
        except OSError as error:
            raise FdsRefused(f"{name}: {error.strerror}") from error
        yield file


def _settings(args: argparse.Namespace) -> EngineSettings:
    path: Path | None = args.settings
    protected = read_protected(args.protected)
    if path is None:
        return EngineSettings(protected=protected)
    try:
        document = orjson.loads(path.read_bytes())
        if not isinstance(document, dict):
            raise FdsRefused(f"{path}: not a JSON object")
        return read_settings(document, protected=protected)
    except OSError as error:
        raise FdsRefused(f"{path}: {error.strerror}") from error
    except (orjson.JSONDecodeError, SettingsInvalid) as error:
        raise FdsRefused(f"{path}: {error}") from error
