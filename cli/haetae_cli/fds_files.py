"""Files the ``haetae fds`` commands about models read: recordings, labels, rule files, folders of models."""

import argparse
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from haetae_fds import Detector, Engine, EngineSettings, Event, EventInvalid, read_flat
from haetae_fds.errors import ModelInvalid
from haetae_fds.finding import Learner
from haetae_fds.flat import MAX_LINE
from haetae_fds.models.rulefile import MAX_BYTES, FileRule, read_rules
from haetae_fds.models.truth import Truth

from haetae_cli.errors import CannotStart, InputInvalid
from haetae_cli.protected import protected_argument

MOST_READ = 65_536


def settings_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the engine's settings and whom it may not refuse."""
    parser.add_argument("--settings", type=Path, metavar="FILE", help="engine settings as a JSON object")
    protected_argument(parser)


def model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what an engine may be given beside its settings."""
    folder_arguments(parser)
    parser.add_argument("--rules", type=Path, metavar="FILE", help="ask the rules of this file too")


def folder_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the folder of models."""
    parser.add_argument("--models", type=Path, metavar="DIR", help="judge with the models of this folder too")
    parser.add_argument("--models-key", type=Path, metavar="FILE", help="the folder's key, if it is kept elsewhere")


def engine_maker(args: argparse.Namespace, settings: EngineSettings) -> Callable[[], Engine]:
    """Read the models and rules that were asked for once; return what makes an engine with them. Raises CliError."""
    held, scorer = rules(args.rules), scorer_maker(args)
    return lambda: Engine(settings, scorer=scorer(), rules=held)


def scorer_maker(args: argparse.Namespace) -> Callable[[], Learner | None]:
    """Read the models that were asked for once; return what makes a scorer of them. Raises CliError."""
    asked: Path | None = args.models
    if asked is None:
        return lambda: None
    try:
        # Slow to import, and only there where the extra was installed.
        from haetae_fds.io.models import ModelFolder, load_scorer
    except ModuleNotFoundError as error:
        raise needed(error, "models") from error
    try:
        first = load_scorer(ModelFolder(asked, key=args.models_key))
    except ModelInvalid as error:
        raise InputInvalid(f"--models: {error}") from error
    return first.fresh


def rules(path: Path | None) -> tuple[Detector, ...]:
    """Read a rule file. Raises InputInvalid."""
    if path is None:
        return ()
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        return tuple(FileRule(rule) for rule in read_rules(data, now=time.time_ns() // 1_000_000))
    except (OSError, ModelInvalid) as error:
        raise InputInvalid(f"--rules {path}: {error}") from error


def lines_of(source: IO[bytes]) -> Iterator[bytes]:
    """Read lines of bounded length; what is longer is cut, so that it is refused as one bad line. A byte order mark
    before the first is no part of it.
    """
    mark = BOM_UTF8
    while line := source.readline(MOST_READ):
        line, mark = line.removeprefix(mark), b""
        if not line.endswith(b"\n") and len(line) == MOST_READ:
            while rest := source.readline(MOST_READ):
                if rest.endswith(b"\n"):
                    break
        yield line


def recordings(paths: Iterable[Path]) -> Iterator[Iterator[Event]]:
    """Return the events of every file, each in its order. Raises InputInvalid at the first line that is none."""
    return (_events(path) for path in paths)


def read_truth(paths: Iterable[Path]) -> Truth:
    """Read label files of either sort. Raises InputInvalid."""
    truth = Truth()
    for path in paths:
        try:
            with path.open("rb") as lines:
                truth.read(lines)
        except (OSError, ModelInvalid) as error:
            raise InputInvalid(f"{path}: {error}") from error
    return truth


def needed(error: ModuleNotFoundError, extra: str) -> CannotStart:
    """Say what to install when a library is not there."""
    return CannotStart(f"this needs {error.name}; install it with: pip install 'haetae[{extra}]'")


def _events(path: Path) -> Iterator[Event]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE + 2):
                number += 1
                if not line.strip():
                    continue
                try:
                    yield read_flat(line.rstrip(b"\n"))
                except EventInvalid as error:
                    raise InputInvalid(f"{path}, line {number}: {error}") from error
    except OSError as error:
        raise InputInvalid(f"{path}: {error.strerror}") from error
