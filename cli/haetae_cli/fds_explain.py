"""``haetae fds explain``: why a decision was made, from the decision log and the evidence kept with its policy.

Numbers stand beside their limits; events are named by their ids, which the gateways' logs carry too. What came from
requests is shown without control characters.
"""

import argparse
import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from haetae_fds.delivery.levels import all_shards
from haetae_fds.io.keys import ShardKeys
from haetae_policy import Policy, PolicyInvalid, PolicyNotFound, parse_policy_id

from haetae_cli.blocks import PREFIX
from haetae_cli.errors import InputInvalid
from haetae_cli.fds_run import MAX_SHARDS
from haetae_cli.fds_store import FdsStore, now_ms, open_fds
from haetae_cli.terminal import Terminal, printable

_DECISION = "fds_"
_PAGE = 1000
_MOST = 100_000
_SHOWN = 12


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("about", metavar="DECISION|POLICY", help="fds_… of a decision, or a policy's identifier")
    parser.add_argument("--json", action="store_true", help="the decisions as JSON, one a line")


def run(args: argparse.Namespace) -> int:
    """Explain."""
    return asyncio.run(_run(args, Terminal.standard()))


async def _run(args: argparse.Namespace, terminal: Terminal) -> int:
    async with open_fds(args.redis, args.state) as store:
        policy, how = None, ""
        decision = args.about
        if not decision.startswith(_DECISION):
            policy, how = await _policy(store, args.about)
            decision = str(policy.evidence().get("decision", ""))
        history, kin = await _history(store, decision)
    if not history and policy is None:
        raise InputInvalid(f"the log knows no decision {printable(args.about, most=60)}; it may have been long ago")
    if args.json:
        for one in history:
            terminal.line(orjson.dumps(one).decode())
        return 0
    if policy is not None:
        terminal.heading(f"policy {policy.id}")
        terminal.table(_about_policy(policy, how))
    if history:
        _tell(history, kin, terminal)
    elif policy is not None:
        _evidence(policy, terminal)
    return 0


async def _policy(store: FdsStore, text: str) -> tuple[Policy, str]:
    try:
        parse_policy_id(text)
    except PolicyInvalid as error:
        raise InputInvalid(f"{printable(text, most=60)} names neither a decision nor a policy") from error
    try:
        policy = await store.policies.get(text)
    except PolicyNotFound:
        ended = await store.policies.ended(text)
        when = "" if ended.at_ms is None else f" at {_time(ended.at_ms)}"
        who = "" if ended.by is None else f" by {printable(ended.by)}"
        return ended.policy, f"{ended.how}{when}{who}"
    head = await store.policies.head()
    if head is None:
        return policy, "in force"
    found = await store.workers.in_force(head.seq, now_ms=now_ms())
    return policy, f"in force; {found.applied} of {found.workers} gateway workers are up to date"


async def _history(store: FdsStore, decision: str) -> tuple[list[dict[str, Any]], int]:
    """Everything the log has of a decision, oldest first, and how many others are of its campaign."""
    if not decision:
        return [], 0
    for shard in range(all_shards(MAX_SHARDS)):
        key = ShardKeys(PREFIX, shard).log
        if not await store.commands.call("EXISTS", key):
            continue
        found, others = await _search(store, key, decision)
        if found:
            return found, others
    return [], 0


async def _search(store: FdsStore, key: str, decision: str) -> tuple[list[dict[str, Any]], int]:
    end, read = "+", 0
    found: list[dict[str, Any]] = []
    campaigns: dict[str, set[str]] = {}
    while read < _MOST:
        page = await store.commands.call("XREVRANGE", key, end, "-", "COUNT", _PAGE)
        for entry, fields in page:
            end = f"({entry.decode()}"
            one = _read(fields)
            if one.get("pid") == decision:
                found.append(one)
            if one.get("campaign") is not None:
                campaigns.setdefault(str(one["campaign"]), set()).add(str(one.get("pid")))
        read += len(page)
        if len(page) < _PAGE:
            break
    found.reverse()
    campaign = found[-1].get("campaign") if found else None
    return found, len(campaigns.get(str(campaign), set()) - {decision})


def _read(fields: Any) -> dict[str, Any]:
    pairs = fields if isinstance(fields, Mapping) else dict(zip(fields[::2], fields[1::2], strict=True))
    value = orjson.loads(pairs[b"d"])
    return value if isinstance(value, dict) else {}


def _about_policy(policy: Policy, how: str) -> list[tuple[str, str]]:
    return [
        ("state", how),
        ("action", f"{policy.action.value}, {policy.mode.value}, until {_time(policy.expires_ms)}"),
        ("subject", _pairs(policy.subject.to_dict())),
        ("api", _pairs(policy.api.to_dict()) or "every API"),
    ]


def _tell(history: list[dict[str, Any]], kin: int, terminal: Terminal) -> None:
    last = next((one for one in reversed(history) if one["numbers"]), history[-1])
    terminal.heading(f"decision {printable(str(last['pid']))} by {printable(str(last['detector']))}")
    rows = [
        ("subject", _pairs(last["subject"])),
        ("api", _pairs(last["api"] or {}) or "every API"),
        ("why", printable(str(last["why"]), most=400)),
    ]
    if last.get("proposal"):
        rows.append(("needs a person", printable(str(last["proposal"]))))
    if last.get("campaign"):
        rows.append(("campaign", f"{printable(str(last['campaign']))}, {kin} other decisions belong to it"))
    terminal.table(rows)
    if last["numbers"]:
        terminal.heading("numbers")
        terminal.table([(printable(n["name"]), f"{n['value']:g}", f"limit {n['limit']:g}") for n in last["numbers"]])
    terminal.heading("what was decided")
    terminal.table(
        [
            (_time(one["ts"]), one["op"], one["action"], one["mode"], f"until {_time(one['exp'])}",
             printable(str(one["why"]), most=90))
            for one in history[-_SHOWN:]
        ]
    )  # fmt: skip
    terminal.heading("events")
    for event in last["events"]:
        terminal.line(f"  {printable(str(event))}")


def _evidence(policy: Policy, terminal: Terminal) -> None:
    """What the policy itself knows, when the log has forgotten the decision."""
    evidence = policy.evidence()
    terminal.line(f"  why  {printable(policy.reason, most=400)}")
    terminal.table(
        [
            (printable(str(name)), f"{value:g}", f"limit {limit:g}")
            for name, (value, limit) in evidence.get("numbers", {}).items()
        ]
    )
    for event in evidence.get("events", ()):
        terminal.line(f"  {printable(str(event))}")


def _pairs(value: Mapping[str, Any]) -> str:
    return printable(", ".join(name if item is True else f"{name} {item}" for name, item in value.items()), most=200)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
