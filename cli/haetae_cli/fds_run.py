"""``haetae fds run``: one worker process of fraud detection.

It takes the shards that are free, follows the switch and what people say, and ends on SIGTERM with a last checkpoint.
Prints one JSON line a spike alert; everything else is in the log (standard error) and on the side port.
"""

import argparse
import asyncio
import gc
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from haetae_fds import EngineSettings, Event
from haetae_fds.alerts import Alert
from haetae_fds.decision import Decision
from haetae_fds.delivery.checkpoint import CheckpointInvalid
from haetae_fds.io.alert_log import alert_log
from haetae_fds.io.alerts import SlackSink, log_alert
from haetae_fds.io.checkpoints import CheckpointFolder
from haetae_fds.io.event_files import EventFiles
from haetae_fds.io.metrics import FdsMetrics, side_port
from haetae_fds.io.run import RunSettings, fds_process
from haetae_fds.io.watch import Watch, incident_of
from haetae_policy.rules import Rules

from haetae_cli.blocks import PREFIX
from haetae_cli.errors import CannotStart, InputInvalid
from haetae_cli.fds_files import engine_maker, model_arguments, settings_arguments
from haetae_cli.signals import run_until_stopped

MAX_SHARDS = 64
MAX_WEBHOOK = 4096
_FLUSH_SECONDS = 5.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--redis", metavar="URL", help="the store (default: $HAETAE_REDIS_URL)")
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="checkpoints; this worker's alone")
    parser.add_argument("--shards", type=_shards, default=1, metavar="N", help="as at the gateways (default: 1)")
    parser.add_argument("--most", type=_shards, default=MAX_SHARDS, metavar="N", help="take at most so many of them")
    parser.add_argument("--prefix", default=PREFIX, metavar="TEXT", help=f"of names in the store (default: {PREFIX})")
    parser.add_argument("--name", metavar="TEXT", help="of this worker (default: host and process)")
    parser.add_argument("--metrics", metavar="HOST:PORT", help="serve /metrics, /healthz, /readyz there")
    parser.add_argument(
        "--events", type=Path, metavar="DIR", help="keep the events too, a file a day for 30 days, to train from"
    )
    settings_arguments(parser)
    model_arguments(parser)
    parser.add_argument("--slack-webhook-file", type=Path, metavar="FILE", help="send spike alerts there too")


def run(args: argparse.Namespace, settings: EngineSettings) -> int:
    """Work until stopped; 0 after an orderly stop."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Nearly everything the engine makes lives long; looking through it for garbage often is wasted time.
    gc.set_threshold(50_000, 20, 100)
    code = run_until_stopped(_serve(args, settings))
    return 0 if code > 128 else code


async def _serve(args: argparse.Namespace, settings: EngineSettings) -> int:
    url = args.redis or os.environ.get("HAETAE_REDIS_URL")
    if not url:
        raise InputInvalid("name the store with --redis URL or HAETAE_REDIS_URL")
    run_settings = RunSettings(
        redis_url=url,
        prefix=args.prefix,
        state=args.state,
        name=args.name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}",
        shards=args.shards,
        most=args.most,
        rules=Rules(protected=settings.protected),
    )
    new_engine = engine_maker(args, settings)
    async with AsyncExitStack() as held:
        log = await held.enter_async_context(alert_log(url, prefix=args.prefix))
        sinks: list[Callable[[Alert], None]] = [log_alert, log.send]
        # The store has incidents already: they are in the log of decisions.
        loud: list[Callable[[Alert], None]] = [log_alert]
        if args.slack_webhook_file is not None:
            slack = (await held.enter_async_context(_slack(args.slack_webhook_file))).send
            sinks.append(slack)
            loud.append(slack)

        def tell(decision: Decision) -> None:
            alert = incident_of(decision)
            if alert is not None:
                for sink in loud:
                    sink(alert)

        try:
            watch = Watch(CheckpointFolder(args.state / "alerts"), *sinks, clock_ms=_now_ms)
            kept = None if args.events is None else EventFiles(args.events, clock_ms=_now_ms)
            process = await held.enter_async_context(
                fds_process(run_settings, new_engine=new_engine, also=_both(watch, kept), tell=tell)
            )
        except (CheckpointInvalid, OSError, ValueError) as error:
            raise CannotStart(f"the worker cannot start: {error}") from error
        if args.metrics is not None:
            host, port = _address(args.metrics)
            metrics = FdsMetrics(process, watch, clock_ms=_now_ms)
            try:
                await held.enter_async_context(side_port(process, metrics, host=host, port=port))
            except OSError as error:
                raise CannotStart(f"--metrics {args.metrics}: {error.strerror or error}") from error
        beside = [asyncio.create_task(watch.keep())]
        if kept is not None:
            held.callback(kept.close)
            beside.append(asyncio.create_task(_flush(kept)))
        try:
            await process.run()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
    return 0


def _both(watch: Watch, kept: EventFiles | None) -> Callable[[Event], None]:
    """Whoever sees every event beside the engine."""
    if kept is None:
        return watch.observe

    def see(event: Event) -> None:
        watch.observe(event)
        kept.write(event)

    return see


async def _flush(kept: EventFiles) -> None:
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        kept.flush()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _slack(path: Path) -> SlackSink:
    try:
        if path.stat().st_mode & 0o077:
            raise InputInvalid(f"{path} can be read by others; run: chmod 600 {path}")
        with path.open("rb") as file:
            return SlackSink(file.read(MAX_WEBHOOK).decode("ascii").strip())
    except OSError as error:
        raise InputInvalid(f"--slack-webhook-file: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputInvalid(f"--slack-webhook-file: {path} holds no address") from error
    except ValueError as error:
        raise InputInvalid(f"--slack-webhook-file: {error}") from error


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise InputInvalid("--metrics is written HOST:PORT")
    return host.strip("[]"), int(port)


def _shards(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MAX_SHARDS:
        raise argparse.ArgumentTypeError(f"must be from 1 to {MAX_SHARDS}")
    return number
