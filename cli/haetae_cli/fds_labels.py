"""``haetae fds labels``: what people said about decisions, one JSON object a line, for training and proposals.

Every verdict is written with what its policy's evidence still tells: when the decision was made, until when it stood,
and the events it was made from.
"""

import argparse
import asyncio
import sys
from typing import Any

import orjson
from haetae_fds.io.feedback import Label, Tally, tally
from haetae_policy import Policy, PolicyInvalid, PolicyNotFound, parse_policy_id

from haetae_cli.fds_store import FdsStore, open_fds
from haetae_cli.terminal import Terminal, printable


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--since", type=int, default=0, metavar="MS", help="given since then, Unix milliseconds")
    parser.add_argument("--summary", action="store_true", help="how often each detector was right, and who agreed")


def run(args: argparse.Namespace) -> int:
    """Print the labels."""
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    async with open_fds(args.redis, args.state) as store:
        if args.summary:
            _show(await tally(store.labels, since_ms=args.since), Terminal.standard())
            return 0
        entry, lost = f"{max(0, args.since)}-0", 0
        while found := await store.labels.after(entry):
            for entry, label in found:  # noqa: B007 - the last one is where to go on
                if label is None:
                    lost += 1
                    continue
                line = verdict(label, await _policy(store, label.policy_id))
                sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.buffer.flush()
    if lost:
        print(f"{lost} labels could not be read", file=sys.stderr)
    return 0


def _show(found: dict[str, Tally], terminal: Terminal) -> None:
    head = ("detector", "confirmed", "false alarms", "right", "judged by two", "agreed")
    rows = [
        (printable(name), str(one.confirmed), str(one.false_alarms), f"{100 * (one.precision or 0.0):.1f} %",
         str(one.twice), str(one.agreed))
        for name, one in found.items()
    ]  # fmt: skip
    terminal.table([head, *rows])


def verdict(label: Label, policy: Policy | None) -> dict[str, Any]:
    """Return a label as training reads it, with what is known of its decision."""
    line: dict[str, Any] = orjson.loads(label.to_json())
    if policy is not None:
        evidence = policy.evidence()
        decided, events = evidence.get("decided"), evidence.get("events")
        if isinstance(decided, int):
            line["decided"] = decided
        if isinstance(events, list):
            line["events"] = [event for event in events if isinstance(event, str)]
        line["until"] = max(policy.created_ms, min(label.at_ms, policy.expires_ms))
    return line


async def _policy(store: FdsStore, policy_id: str) -> Policy | None:
    try:
        parse_policy_id(policy_id)
        return await store.policies.get(policy_id)
    except PolicyInvalid:
        return None
    except PolicyNotFound:
        try:
            return (await store.policies.ended(policy_id)).policy
        except PolicyNotFound:
            return None
