"""``haetae up``: the whole stack on this machine, until Ctrl-C; with ``--check``, the tour and an exit
code.
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from haetae_fds import Mode

from haetae_cli.demo_sso import check_staff
from haetae_cli.secure import SECURE_GATEWAY, curl_words
from haetae_cli.signals import run_until_stopped
from haetae_cli.stack import DEFAULT_PORT_BASE, StackOptions, Started, run_stack
from haetae_cli.staff import INTERNAL_GATEWAY, tool_origin
from haetae_cli.state import RunningStack, StateDirectory, default_state
from haetae_cli.terminal import Terminal
from haetae_cli.tour import Outcome
from haetae_cli.tour.detection import SIGN_IN_GATEWAY, attack_is_refused_and_people_are_not
from haetae_cli.tour.staff import APPROVER, demo_password, has_staff
from haetae_cli.visit import check


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--check", action="store_true", help="run the tour, print each step, end with 0 or 1")
    parser.add_argument("--config", type=Path, default=Path("config"), metavar="DIR", help="gateways (default: config)")
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="keys, data, logs (default: .haetae; --check: a temporary one)"
    )
    parser.add_argument(
        "--port-base",
        type=_port_base,
        metavar="N",
        help=f"first port (default: {DEFAULT_PORT_BASE}; --check: 0, which takes free ones)",
    )
    parser.add_argument(
        "--workers", type=_workers, default=1, metavar="N", help="processes of each gateway (default: 1)"
    )
    parser.add_argument(
        "--store-port", type=_positive, metavar="PORT", help="let the store listen on 127.0.0.1:PORT too"
    )
    parser.add_argument(
        "--fds",
        choices=[mode.value for mode in Mode],
        help="switch fraud detection (default: as it was; at first: enforce)",
    )
    parser.add_argument(
        "--fds-models", type=Path, metavar="DIR", help="judge with these models too (default: rules only)"
    )
    parser.add_argument("--envoy", action="store_true", help="put Envoy in front of the Secure gateway")


def run(args: argparse.Namespace) -> int:
    """Run until stopped; 0 after an orderly stop or a tour without failures."""
    if not args.check:
        state = StateDirectory(args.state or default_state())
        return run_until_stopped(_serve(_options(args, state), Terminal.standard()))
    with tempfile.TemporaryDirectory(prefix="haetae-check-") as folder:
        state = StateDirectory(args.state or Path(folder) / "state")
        return run_until_stopped(_check(_options(args, state), Terminal.standard()))


def _options(args: argparse.Namespace, state: StateDirectory) -> StackOptions:
    base = args.port_base
    return StackOptions(
        state=state,
        config=args.config,
        port_base=(0 if args.check else DEFAULT_PORT_BASE) if base is None else base,
        workers=args.workers,
        redis_url=os.environ.get("HAETAE_REDIS_URL") or None,
        store_port=args.store_port,
        envoy=args.envoy,
        fds=None if args.fds is None else Mode(args.fds),
        fds_models=None if args.fds_models is None else args.fds_models.absolute(),
    )


async def _serve(options: StackOptions, terminal: Terminal) -> int:
    began = time.monotonic()
    async with run_stack(options) as started:
        _welcome(terminal, started, options, time.monotonic() - began)
        try:
            await started.children.until_one_ends()
        except asyncio.CancelledError:
            # Being stopped is how this is meant to end.
            terminal.line("\nstopping")
    return 0


async def _check(options: StackOptions, terminal: Terminal) -> int:
    async with run_stack(options) as started:
        touring = asyncio.create_task(_tours(started, terminal))
        watching = asyncio.create_task(started.children.until_one_ends())
        try:
            await asyncio.wait([touring, watching], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                await watching
            return 0 if await touring else 1
        finally:
            touring.cancel()
            watching.cancel()
            await asyncio.gather(touring, watching, return_exceptions=True)


async def _tours(started: Started, terminal: Terminal) -> bool:
    passed = await check(started.running, terminal)
    if SIGN_IN_GATEWAY in started.running.gateways:
        passed = await _attack(started, terminal) and passed
    if has_staff(started.running):
        passed = await check_staff(started.running, terminal) and passed
    return passed


async def _attack(started: Started, terminal: Terminal) -> bool:
    gateway = started.running.gateways[SIGN_IN_GATEWAY]
    terminal.heading(f"log-in at {gateway}")
    try:
        outcome = await attack_is_refused_and_people_are_not(gateway, acts=started.fds is Mode.ENFORCE)
    except (aiohttp.ClientError, TimeoutError) as error:
        outcome = Outcome(passed=False, note=type(error).__name__)
    terminal.step(outcome.passed, "stuffed credentials are refused, people are not", outcome.note)
    return outcome.passed


def _welcome(terminal: Terminal, started: Started, options: StackOptions, seconds: float) -> None:
    running, state = started.running, options.state
    terminal.line()
    terminal.heading(f"haetae is up ({seconds:.1f} s)")
    for remark in started.remarks:
        terminal.line(f"  {remark}")
    terminal.line()
    terminal.table(
        [
            *((f"{name} gateway", terminal.style(url, "cyan")) for name, url in running.gateways.items()),
            ("identity service", running.identity),
            ("token issuer", running.issuer),
            ("OpenID provider (development only)", running.provider),
            ("bank (behind the gateway)", running.bank),
            ("policy API", running.policy_api),
            *_console(running),
            ("fraud detection", f"{started.fds.value}, {running.fds}/metrics"),
            ("store", f"{started.store.description}, {running.redis_url}"),
            ("state, logs", f"{state.path}, {state.logs.name}/"),
        ]
    )
    named = "" if state.path == default_state().absolute() else f" --state {state.path}"
    # Started by `uv run`, which sets UV: then the command is on the path of nobody else.
    called = "uv run " if "UV" in os.environ else ""
    gateway = next(iter(running.gateways.values()))
    terminal.line()
    terminal.heading("try, in another terminal")
    terminal.table(
        [
            (f"{called}haetae demo app{named}", "the gateway at work, step by step"),
            (f"{called}haetae demo attack stuffing{named}", "an attack on the log-in, and what is done about it"),
            (f"{called}haetae demo sso{named}", "staff sign in once for all tools: what to click"),
            (f"{called}haetae request GET {gateway}/api/v1/accounts --enrol{named}", "a signed, encrypted call"),
            (f"{called}haetae block add --user u-1001 --for 5m --reason test{named}", "then try the call again"),
        ]
    )
    if SECURE_GATEWAY in running.gateways:
        terminal.line(f"  {curl_words(state.keys, running.gateways[SECURE_GATEWAY])}")
    terminal.line()
    terminal.line("Ctrl-C ends all of it.")


def _console(running: RunningStack) -> list[tuple[str, str]]:
    """Where people look at policies, and as whom, if there is a gateway they sign in at."""
    if INTERNAL_GATEWAY not in running.gateways:
        return []
    url = tool_origin("console", urlsplit(running.gateways[INTERNAL_GATEWAY]).port or 80)
    return [("analyst's console", f"{url} (as {APPROVER}, {demo_password(APPROVER)})")]


def _port_base(text: str) -> int:
    number = int(text)
    if number != 0 and not 1024 <= number <= 65_000:
        raise argparse.ArgumentTypeError("must be 0, or from 1024 to 65000")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65_535:
        raise argparse.ArgumentTypeError("must be from 1 to 65535")
    return number


def _workers(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError("must be from 1 to 64")
    return number
