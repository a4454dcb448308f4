"""Decisions in force, applied to events the way a gateway applies policies to requests. For evaluation only.

Works on the flat forms that travel: a decision is a mapping in its JSON form, an event a mapping of event fields.
Rules kept: conditions are AND-ed; user and device conditions match verified identities only; `untrusted` passes
callers with an established identity by; what is in shadow, needs approval or is an alert never acts; a decision acts
`delay_ms` after it was taken. Among several the strongest action wins. Not here: the gateways' own policy table, which
is built for a million entries; this one is built to be obviously right.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

DEFAULT_DELAY_MS: Final = 10
_KINDS: Final = ("session", "device", "user", "account", "pw_fp", "client", "ip")
_STRENGTH: Final = {"block": 3, "challenge": 2, "throttle": 1}
_DEFAULT_RATE: Final = (10, 10)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(slots=True, kw_only=True)
class Rule:
    """One decision in force, from `from_ms` until `until_ms`."""

    pid: str
    action: str
    subject: Mapping[str, Any]
    api: Mapping[str, Any]
    network: Network | None
    from_ms: int
    until_ms: int
    rate: tuple[int, int]

    def matches(self, event: Mapping[str, Any], *, established: bool) -> bool:
        """Whether the request of this event is meant."""
        subject = self.subject
        if subject.get("untrusted") and established:
            return False
        for kind in _KINDS:
            wanted = subject.get(kind)
            if wanted is None:
                continue
            if kind == "ip":
                if self.network is None or not _within(event.get("ip"), self.network):
                    return False
            elif identity(event, kind) != wanted:
                return False
        return not self.api or _is_api(self.api, event)


class Gate:
    """The decisions in force."""

    def __init__(self, *, delay_ms: int = DEFAULT_DELAY_MS) -> None:
        self.delay_ms = delay_ms
        self._rules: dict[str, Rule] = {}
        self._index: dict[tuple[str, str], dict[str, None]] = {}
        self._wide: dict[str, None] = {}
        self._buckets: dict[tuple[str, ...], tuple[float, int]] = {}

    def __len__(self) -> int:
        """How many rules are held, those that have run out included until they are met again."""
        return len(self._rules)

    def take(self, decision: Mapping[str, Any]) -> Rule | None:
        """Put, extend or take back; returns the rule now in force, None when the decision does not act."""
        pid = str(decision.get("pid") or _name(decision))
        op = decision.get("op", "put")
        held = self._rules.get(pid)
        if op == "del":
            self._drop(pid)
            return None
        if op == "extend" and held is not None:
            held.until_ms = int(decision["exp"])
            return held
        if not acts(decision):
            return None
        from_ms = int(decision["ts"]) + self.delay_ms
        if held is not None and held.until_ms >= from_ms:
            from_ms = min(held.from_ms, from_ms)
        self._drop(pid)
        rule = rule_of(decision, pid=pid, from_ms=from_ms)
        self._rules[pid] = rule
        self._file(rule)
        return rule

    def judge(self, event: Mapping[str, Any], *, established: bool) -> tuple[str, str | None]:
        """What happens to the request ("allow", "throttle" when the rate is used up, "challenge", "block"), and why."""
        now_ms = event["ts"]
        best: Rule | None = None
        for rule in self._candidates(event):
            if now_ms >= rule.until_ms:
                self._drop(rule.pid)
            elif now_ms >= rule.from_ms and rule.matches(event, established=established):
                if rule.action == "throttle" and self._token(rule, event, now_ms):
                    continue
                if best is None or _STRENGTH[rule.action] > _STRENGTH[best.action]:
                    best = rule
        return ("allow", None) if best is None else (best.action, best.pid)

    def _candidates(self, event: Mapping[str, Any]) -> list[Rule]:
        if not self._rules:
            return []
        pids: dict[str, None] = dict(self._wide)
        for kind in _KINDS:
            value = event.get("ip") if kind == "ip" else identity(event, kind)
            if value is not None:
                pids.update(self._index.get((kind, value), {}))
        return [self._rules[pid] for pid in pids]

    def _file(self, rule: Rule) -> None:
        key = _index_key(rule)
        if key is None:
            self._wide[rule.pid] = None
        else:
            self._index.setdefault(key, {})[rule.pid] = None

    def _drop(self, pid: str) -> None:
        rule = self._rules.pop(pid, None)
        if rule is None:
            return
        key = _index_key(rule)
        if key is None:
            self._wide.pop(pid, None)
        else:
            self._index[key].pop(pid, None)
            if not self._index[key]:
                del self._index[key]

    def _token(self, rule: Rule, event: Mapping[str, Any], now_ms: int) -> bool:
        limit, seconds = rule.rate
        tokens, seen_ms = self._buckets.get((rule.pid,), (float(limit), now_ms))
        tokens = min(float(limit), tokens + (now_ms - seen_ms) * limit / (seconds * 1000))
        granted = tokens >= 1.0
        self._buckets[rule.pid,] = (tokens - 1.0 if granted else tokens, now_ms)
        return granted


def acts(decision: Mapping[str, Any]) -> bool:
    """Whether this decision would change what happens to a request."""
    return (
        decision.get("mode", "enforce") == "enforce"
        and decision.get("action") in _STRENGTH
        and not decision.get("approval")
        and bool(decision.get("subject"))
    )


def rule_of(decision: Mapping[str, Any], *, pid: str, from_ms: int) -> Rule:
    """The rule that a decision makes."""
    subject = {name: value for name, value in decision["subject"].items() if value}
    address = subject.get("ip")
    rate = decision.get("rate")
    return Rule(
        pid=pid,
        action=str(decision["action"]),
        subject=subject,
        api={name: value for name, value in (decision.get("api") or {}).items() if value},
        network=ipaddress.ip_network(address, strict=False) if address else None,
        from_ms=from_ms,
        until_ms=int(decision["exp"]),
        rate=(int(rate[0]), int(rate[1])) if rate else _DEFAULT_RATE,
    )


def identity(event: Mapping[str, Any], kind: str) -> str | None:
    """The identity of that kind which the gateway verified, or saw (session, account, secret, client)."""
    if kind == "user":
        return event.get("user") if event.get("user_v") else None
    if kind == "device":
        return event.get("dev") if event.get("dev_v") else None
    if kind == "session":
        return event.get("sess")
    if kind == "account":
        return event.get("acct")
    if kind == "pw_fp":
        return event.get("pw_fp")
    parts = (event.get("ja4"), event.get("ua"), event.get("hdr"))
    return "|".join(part or "" for part in parts) if any(parts) else None


def _index_key(rule: Rule) -> tuple[str, str] | None:
    """Where a rule is filed: under its first exact condition; networks and rules for everybody are always looked at."""
    for kind in _KINDS[:-1]:
        if rule.subject.get(kind):
            return kind, rule.subject[kind]
    if rule.network is not None and rule.network.num_addresses == 1:
        return "ip", str(rule.network.network_address)
    return None


def _is_api(api: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    method, _, path = (event.get("api") or "").partition(" ")
    for name, actual in (("gateway", event.get("gw")), ("route", event.get("route")), ("method", method)):
        if api.get(name) is not None and api[name] != actual:
            return False
    wanted = api.get("path")
    if wanted is None:
        return True
    if wanted.endswith("/**"):
        return bool(path == wanted[:-3] or path.startswith(wanted[:-2]))
    return bool(wanted == path)


@lru_cache(maxsize=200_000)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _within(text: str | None, network: Network) -> bool:
    address = _address(text) if text else None
    return address is not None and address.version == network.version and address in network


def _name(decision: Mapping[str, Any]) -> str:
    return repr((decision.get("action"), decision.get("subject"), decision.get("api")))
