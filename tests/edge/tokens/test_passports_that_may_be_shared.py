"""Two requests share a Passport only when each, minted alone, would have said the very same."""

import json
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from haetae_crypto.jwks import parse_jwks
from haetae_crypto.signing_keys import new_signing_ring
from haetae_edge.exchange import Caller, Exchange
from haetae_edge.filter import BuildContext
from haetae_edge.filters.passport import Passport
from haetae_edge.services import IdentityService, Services
from haetae_passport import PassportMinter, PassportPolicy, PassportVerifier, jwks_document
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000
RING = new_signing_ring(bytes(32), now=NOW - 10)
KEYS = parse_jwks(jwks_document(RING, now=NOW))
#: Python finds many of these equal; a reader of JSON does not.
VALUES = st.sampled_from([True, 1, 1.0, False, 0, None, "1", [], [1], [True], {}, {"a": 1}, {"a": True}])
OBJECTS = st.dictionaries(st.sampled_from(["pay", "marketing"]), VALUES, max_size=2)
FACTS = st.fixed_dictionaries(
    {},
    optional={
        "user": OBJECTS,
        "device": OBJECTS,
        "consents": OBJECTS,
        "risk": st.fixed_dictionaries({"score": st.sampled_from([0, 1, 1.0, 0.5]), "level": st.just("low")}),
    },
)
PROFILES = st.fixed_dictionaries(
    {"id": st.just("u-1"), "groups": st.sampled_from([["a"], ["a", "b"]])},
    optional={"acr": st.sampled_from(["1", "2"]), "auth_time": st.sampled_from([1, 2, True])},
)


def word(*values: str) -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, *values])


CALLERS = st.builds(
    Caller,
    user=word("u-1", "u-2"),
    service=word("u-1", "spiffe://a/b"),
    key_id=word("u-1", "k-1"),
    client_id=word("u-1", "pages"),
    device=word("d-1", "d-2"),
    session=word("s-1", "s-2"),
    auth=st.sampled_from([("token",), ("signature",), ("signature", "token"), ("session",)]),
    profile=st.none() | PROFILES,
).filter(lambda caller: bool(caller.user or caller.service or caller.key_id or caller.client_id))
#: A caller, their facts, their address, and route and upstream.
REQUESTS = st.tuples(
    CALLERS,
    FACTS,
    st.sampled_from(["203.0.113.7", "2001:db8::7"]),
    st.sampled_from([("r1", "bank"), ("r2", "bank"), ("r1", "tools")]),
)
Asked = tuple[Caller, Mapping[str, Any], str, tuple[str, str]]


class Identity:
    """Knows these facts of whoever is asked about."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts

    def cached_context(self, *, sub: str, keyid: str | None, device: str | None, route: str) -> Mapping[str, Any]:
        return self._facts


def passport_of(asked: Asked, minter: PassportMinter, number: int) -> str:
    """The Passport that this request is sent on with."""
    caller, facts, address, (route, upstream) = asked
    services = Services(
        clock=lambda: float(NOW),
        random_bytes=lambda size: number.to_bytes(size, "big"),
        identity=cast("IdentityService", Identity(facts)),
        passports=minter,
    )
    context = BuildContext(gateway="web", route_id=route, upstream=upstream, services=services)
    [(_, step)] = Passport().build(context).request
    exchange = SimpleNamespace(
        caller=caller, request=SimpleNamespace(client=SimpleNamespace(text=address)), trace=None, fields=[]
    )
    step(cast("Exchange", exchange))
    [(_, token)] = exchange.fields
    return str(token.decode())


def said(token: str, upstream: str) -> str:
    """All that it states, `jti` aside, as a reader of JSON sees it."""
    verifier = PassportVerifier(PassportPolicy(issuer="web", audience=upstream))
    claims = dict(verifier.verify(token, keys=KEYS, now=NOW).claims)
    del claims["jti"]
    return json.dumps(claims, sort_keys=True)


def minter() -> PassportMinter:
    return PassportMinter(issuer="web", ring=RING)


def changed(asked: Asked, other: Asked, member: int) -> Asked:
    """The request with one member of the other's: a member of the caller, or facts, address, place."""
    caller, facts, address, place = asked
    names = ("user", "service", "key_id", "client_id", "auth", "profile")
    if member < len(names):
        caller = replace(caller, **{names[member]: getattr(other[0], names[member])})
        if not (caller.user or caller.service or caller.key_id or caller.client_id):
            return other
    elif member == len(names):
        facts = other[1]
    elif member == len(names) + 1:
        address = other[2]
    else:
        place = other[3]
    return caller, facts, address, place


@given(REQUESTS, REQUESTS, st.integers(0, 8))
def test_passport_that_two_requests_share_says_what_each_would_have_got_alone(
    first: Asked, other: Asked, member: int
) -> None:
    second, shared = changed(first, other, member), minter()
    tokens = [passport_of(asked, shared, number) for number, asked in enumerate((first, first, second))]
    assert tokens[0] == tokens[1]
    alone = [passport_of(asked, minter(), 9) for asked in (first, second)]
    for asked, token, own in zip((first, second), tokens[1:], alone, strict=True):
        assert said(token, asked[3][1]) == said(own, asked[3][1])


def test_consent_that_turned_from_one_into_true_is_stated_at_once() -> None:
    caller, shared = Caller(user="u-1", auth=("token",)), minter()
    place = ("r1", "bank")
    before = passport_of((caller, {"consents": {"pay": 1}}, "203.0.113.7", place), shared, 1)
    after = passport_of((caller, {"consents": {"pay": True}}, "203.0.113.7", place), shared, 2)
    verifier = PassportVerifier(PassportPolicy(issuer="web", audience="bank"))
    read = [verifier.verify(token, keys=KEYS, now=NOW).has_consented("pay") for token in (before, after)]
    assert read == [False, True]
