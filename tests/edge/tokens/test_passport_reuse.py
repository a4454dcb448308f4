"""Which requests share a Passport at the gateway, and which must not."""

from collections.abc import Mapping
from typing import Any

import pytest
from haetae_crypto.jwks import parse_jwks
from haetae_crypto.signing_keys import new_signing_ring
from haetae_edge.filters.passport import Passport
from haetae_edge.filters.trace import Trace
from haetae_edge.filters.verify_jwt import VerifyJwt
from haetae_edge.services import DependencyUnavailable, DeviceRecord, UnknownDevice
from haetae_passport import Passport as Statement
from haetae_passport import PassportPolicy, PassportVerifier, jwks_document

from tests.edge.tokens.gate import NOW, Gate, gate

RING = new_signing_ring(bytes(32), now=NOW - 10)
KEYS = parse_jwks(jwks_document(RING, now=NOW))
VERIFIER = PassportVerifier(PassportPolicy(issuer="haetae-web", audience="bank"))
BANK = Passport(audience="bank")


class Identity:
    """The identity service's answers, remembered as the real client does: the same object until they change."""

    def __init__(self) -> None:
        self.facts: Mapping[str, Any] = {"user": {"vip": True}}

    def cached_device(self, keyid: str) -> DeviceRecord | None:
        raise UnknownDevice

    async def device(self, keyid: str) -> DeviceRecord:
        raise UnknownDevice

    def cached_context(self, *, sub: str, keyid: str | None, device: str | None, route: str) -> Mapping[str, Any]:
        return self.facts

    async def context(self, *, sub: str, keyid: str | None, device: str | None, route: str) -> Mapping[str, Any]:
        raise DependencyUnavailable

    def forget(self, *, user: str | None = None, device: str | None = None) -> None:
        return


def sent(g: Gate) -> list[str]:
    """The Passports that arrived, in order."""
    return [value.decode() for request in g.edge.upstream.requests for value in request.values(b"x-passport")]


def read(token: str, *, now: float = NOW) -> Statement:
    return VERIFIER.verify(token, keys=KEYS, now=now)


async def test_next_request_of_the_same_caller_carries_the_same_passport_whatever_token_proves_them() -> None:
    async with gate(VerifyJwt(), BANK, ring=RING) as g:
        for _ in range(3):
            assert (await g.bearer(g.issuer.token())).status == 200
        first, *others = sent(g)
        assert others == [first, first]
        assert read(first).context.trace is None


async def test_passport_is_renewed_before_half_of_its_life_is_over() -> None:
    async with gate(VerifyJwt(), BANK, ring=RING) as g:
        token = g.issuer.token()
        for moment in (0, 29, 30, 31):
            g.clock[0] = NOW + moment
            assert (await g.bearer(token)).status == 200
        first, second, third, fourth = sent(g)
        assert first == second != third == fourth
        assert read(third, now=NOW + 30).expires_at == NOW + 90


@pytest.mark.parametrize("changes", [{"sub": "u-2"}, {"client_id": "partner"}, {"sub": "pages"}], ids=str)
async def test_another_caller_never_gets_it(changes: dict[str, Any]) -> None:
    async with gate(VerifyJwt(), BANK, ring=RING) as g:
        assert (await g.bearer(g.issuer.token())).status == 200
        assert (await g.bearer(g.issuer.token(**changes))).status == 200
        first, second = (read(token) for token in sent(g))
        said = {"sub": "u-1", "client_id": "pages", **changes}
        assert (first.subject, second.subject) == ("u-1", said["sub"])
        assert second.claims["client_id"] == said["client_id"]


async def test_the_same_person_from_another_address_gets_a_passport_that_says_so() -> None:
    async with gate(VerifyJwt(), BANK, ring=RING, trusted=["127.0.0.0/8"]) as g:
        token = g.issuer.token()
        for address in ("203.0.113.7", "203.0.113.8", "203.0.113.7"):
            assert (await g.bearer(token, f"X-Forwarded-For: {address}")).status == 200
        assert [read(token).context.client for token in sent(g)] == ["203.0.113.7", "203.0.113.8", "203.0.113.7"]
        assert len(set(sent(g))) == 2


async def test_changed_facts_are_stated_at_once() -> None:
    identity = Identity()
    async with gate(VerifyJwt(), BANK, ring=RING, identity=identity) as g:
        token = g.issuer.token()
        assert (await g.bearer(token)).status == 200
        identity.facts = {"user": {"vip": False}}
        assert (await g.bearer(token)).status == 200
        assert [dict(read(token).user or {}) for token in sent(g)] == [{"vip": True}, {"vip": False}]


async def test_route_may_ask_for_one_of_its_own_for_each_request_with_its_trace() -> None:
    async with gate(Trace(), VerifyJwt(), Passport(audience="bank", binding="request"), ring=RING) as g:
        token = g.issuer.token()
        for _ in range(2):
            assert (await g.bearer(token)).status == 200
        first, second = (read(token) for token in sent(g))
        assert first.passport_id != second.passport_id
        traces = [request.values(b"x-b3-traceid")[0].decode() for request in g.edge.upstream.requests]
        assert [first.context.trace, second.context.trace] == traces
        assert len(set(traces)) == 2


async def test_who_is_refused_gets_none_although_one_is_remembered() -> None:
    async with gate(VerifyJwt(), BANK, ring=RING) as g:
        assert (await g.bearer(g.issuer.token())).status == 200
        assert (await g.bearer(g.issuer.token(exp=NOW - 60))).status == 401
        assert len(sent(g)) == 1
