"""Hypothesis strategies and plain builders shared by the policy tests. Small value pools, so that things
collide.
"""

import ipaddress
from typing import Any

from haetae_policy.facts import ApiFacts, Facts
from haetae_policy.identifiers import make_policy_id, parse_policy_id
from haetae_policy.model import Action, Api, Rate, Subject
from haetae_policy.network import address_key, parse_network
from haetae_policy.record import Record
from hypothesis import strategies as st

T0 = 1_750_000_000_000

NAMES = ("a", "b", "c")
ADDRESSES = (
    *("203.0.113.7", "203.0.113.8", "203.0.112.1", "198.51.100.1", "10.1.2.3"),
    *("2001:db8::1", "2001:db8:0:1::1", "2001:db9::1", "fd00::1"),
)
PATHS = ("/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/b", "/ab")
PATTERNS = ("/", "/a", "/a/**", "/a/*", "/*/b", "/a/{id}", "/{x}/b/**", "/**", "/a*", "/*b")


def policy_id(number: int, *, now_ms: int = T0) -> str:
    return make_policy_id(now_ms=now_ms, randomness=number.to_bytes(10))


def pid(number: int) -> int:
    return parse_policy_id(policy_id(number))


def document(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A complete, valid policy document; `changes` replace top-level fields, None removes one."""
    made: dict[str, Any] = {
        "id": policy_id(number),
        "subject": {"user": "u-1029"},
        "api": {"gateway": "app", "route": "transfer", "method": "POST", "path": "/api/v1/transfers/**"},
        "action": "block",
        "reason": "credential stuffing",
        "source": {"kind": "analyst", "name": "kim"},
        "created": "2026-05-01T10:00:00Z",
        "changed": "2026-05-01T10:00:00Z",
        "expires": "2026-05-02T10:00:00Z",
        "version": 1,
        "ticket": "FR-311",
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value is not None}


@st.composite
def networks(draw: st.DrawFn) -> str:
    address = draw(st.sampled_from(ADDRESSES))
    bits = 32 if "." in address else 128
    lengths = (0, 8, 15, 16, 17, 24, 31, 32) if bits == 32 else (0, 16, 31, 32, 33, 48, 64, 127, 128)
    return str(ipaddress.ip_network((address, draw(st.sampled_from(lengths))), strict=False))


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.none(), strategy)


subjects = st.builds(
    Subject,
    session=maybe(st.sampled_from(NAMES)),
    device=maybe(st.sampled_from(NAMES)),
    user=maybe(st.sampled_from(NAMES)),
    account=maybe(st.sampled_from(NAMES)),
    client=maybe(st.sampled_from(NAMES)),
    ip=maybe(networks().map(parse_network)),
    untrusted=st.booleans(),
)
apis = st.builds(
    Api,
    gateway=maybe(st.sampled_from(NAMES)),
    route=maybe(st.sampled_from(NAMES)),
    method=maybe(st.sampled_from(("GET", "HEAD", "POST"))),
    path=maybe(st.sampled_from(PATTERNS)),
)


@st.composite
def records(draw: st.DrawFn, numbers: int = 12) -> Record:
    action = draw(st.sampled_from(Action))
    return Record(
        pid=pid(draw(st.integers(1, numbers))),
        ver=draw(st.integers(1, 4)),
        exp_ms=T0 + 1000 * draw(st.integers(1, 5)),
        action=action,
        subject=draw(subjects),
        api=draw(apis),
        why=draw(st.sampled_from(("", "r1", "manual"))),
        shadow=draw(st.booleans()) and draw(st.booleans()),
        hard=action is Action.BLOCK and draw(st.booleans()),
        machine=draw(st.booleans()),
        rate=Rate(5, 10) if action is Action.THROTTLE else None,
    )


facts = st.builds(
    Facts,
    session=maybe(st.sampled_from(NAMES)),
    device=st.one_of(st.none(), st.sampled_from(NAMES)),
    user=st.one_of(st.none(), st.sampled_from(NAMES)),
    account=maybe(st.sampled_from(NAMES)),
    client=maybe(st.sampled_from(NAMES)),
    ip=st.one_of(st.none(), st.sampled_from(ADDRESSES).map(address_key)),
    trusted=st.booleans(),
)
api_facts = st.builds(
    ApiFacts,
    gateway=st.sampled_from(NAMES),
    route=st.sampled_from(NAMES),
    method=st.sampled_from(("GET", "HEAD", "POST")),
    path=st.sampled_from(PATHS),
)
