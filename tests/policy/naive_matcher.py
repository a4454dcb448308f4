"""The policy semantics written a second time, slowly and independently, for comparison with the compiled
table.
"""

import ipaddress
import re
from collections.abc import Iterable

from haetae_policy.facts import ApiFacts, Facts
from haetae_policy.model import Action, Api, Subject
from haetae_policy.network import address_text
from haetae_policy.record import Record

STRENGTH = {Action.THROTTLE: 1, Action.CHALLENGE: 2, Action.BLOCK: 3}


def path_fits(pattern: str, path: str) -> bool:
    """By translation into one regular expression."""
    if pattern == "/":
        return path == "/"
    expression = ""
    segments = pattern[1:].split("/")
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        if segment == "**" and last:
            return re.fullmatch(expression + "(/.*)?", path) is not None
        if segment == "*":
            expression += "/[^/]*" if last else "/[^/]+"
        elif segment.startswith("{"):
            expression += "/[^/]+"
        else:
            expression += "/" + re.escape(segment).replace(r"\*", "[^/]*")
    if re.fullmatch(expression, path):
        return True
    return path.endswith("/") and not path.endswith("//") and path != "/" and bool(re.fullmatch(expression, path[:-1]))


def api_fits(api: Api, given: ApiFacts) -> bool:
    return (
        api.gateway in (None, given.gateway)
        and api.route in (None, given.route)
        and (api.method in (None, given.method) or (api.method, given.method) == ("GET", "HEAD"))
        and (api.path is None or path_fits(api.path, given.path))
    )


def subject_fits(subject: Subject, given: Facts) -> bool:
    for kind in ("session", "device", "user", "account", "pw_fp", "client"):
        if getattr(subject, kind) not in (None, getattr(given, kind)):
            return False
    if subject.ip is not None and (given.ip is None or not inside(str(subject.ip), given.ip)):
        return False
    return not (subject.untrusted and given.trusted)


def inside(network: str, ip: int) -> bool:
    return ipaddress.ip_address(address_text(ip)) in ipaddress.ip_network(network)


def needs_identity(subject: Subject) -> bool:
    return bool(subject.named()) or subject.untrusted


def exempted(record: Record, given: Facts, exempt: Iterable[str]) -> bool:
    named = record.subject.session or record.subject.device or record.subject.user
    if not record.machine or named is not None or given.ip is None or record.action is Action.ALLOW:
        return False
    return any(inside(network, given.ip) for network in exempt)


def _live(records: Iterable[Record], given: Facts, api: ApiFacts, now_ms: int, exempt: Iterable[str]) -> list[Record]:
    return [
        record
        for record in records
        if record.exp_ms > now_ms
        and subject_fits(record.subject, given)
        and api_fits(record.api, api)
        and not exempted(record, given, exempt)
    ]


def judge_throttles(
    records: Iterable[Record], given: Facts, api: ApiFacts, now_ms: int, exempt: Iterable[str] = ()
) -> set[int]:
    """Return every throttle that must give a token: none where something else decides or an exception applies."""
    live = [record for record in _live(records, given, api, now_ms, exempt) if not record.shadow]
    if any(record.action in (Action.ALLOW, Action.CHALLENGE, Action.BLOCK) for record in live):
        return set()
    return {record.pid for record in live if record.action is Action.THROTTLE}


def judge(
    records: Iterable[Record], given: Facts, api: ApiFacts, now_ms: int, exempt: Iterable[str] = ()
) -> tuple[int | None, set[int]]:
    """Return the policy to enforce and the policies only observed."""
    live = _live(records, given, api, now_ms, exempt)
    passive = [r for r in live if r.shadow or r.action in (Action.OBSERVE, Action.ALLOW)]
    active = [r for r in live if r not in passive]
    if any(r.action is Action.ALLOW and not r.shadow for r in passive):
        active = [r for r in active if r.hard]
    active.sort(key=lambda r: (-STRENGTH[r.action], -r.exp_ms, r.pid))
    return (active[0].pid if active else None), {r.pid for r in passive}


def judge_early(
    records: Iterable[Record], ip: int, api: ApiFacts, now_ms: int, exempt: Iterable[str] = ()
) -> int | None:
    """What may be said from address and API alone: the verdict, unless some exception could still overturn
    it.
    """
    records = list(records)
    early = [record for record in records if not needs_identity(record.subject)]
    winner, _ = judge(early, Facts(ip=ip), api, now_ms, exempt)
    if winner is None or next(r for r in early if r.pid == winner).hard:
        return winner
    for record in records:
        if record.action is Action.ALLOW and not record.shadow and needs_identity(record.subject):
            here = record.subject.ip is None or inside(str(record.subject.ip), ip)
            if here and api_fits(record.api, api):
                return None
    return winner
