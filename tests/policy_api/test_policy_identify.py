"""Who is calling: Passports really minted and verified, groups to roles, services to scopes, nothing in between."""

from typing import Any, cast

import pytest
from haetae_crypto.jwks import JwkSet
from haetae_crypto.signing_keys import new_signing_ring
from haetae_passport import CallContext, PassportMinter, PassportPolicy, PassportVerifier
from haetae_passport.io.gate import PassportGate
from haetae_passport.io.jwks import PassportKeys
from haetae_policy_api.errors import NotAllowed, NotSignedIn
from haetae_policy_api.io.identify import Verified
from haetae_policy_api.roles import READ, WRITE, Role
from haetae_policy_api.settings import Settings

NOW = 1_777_629_600
RING = new_signing_ring(b"k" * 32, now=NOW - 600)
FORGED = new_signing_ring(b"f" * 32, now=NOW - 600)
SETTINGS = Settings(
    groups={"analysts": Role.ANALYST, "approvers": Role.APPROVER},
    services={"fraud": frozenset({READ, WRITE, "made-up"})},
)
CONTEXT = CallContext(gateway="internal", route="policy-api", trace="t", client="192.0.2.1", auth=("session",))


class Published:
    async def keys_for(self, kid: str) -> JwkSet:
        return JwkSet((RING.active(now=NOW).key.public,))


def identify() -> Verified:
    verifier = PassportVerifier(PassportPolicy(issuer="gate", audience="haetae-policy-api"))
    gate = PassportGate(verifier=verifier, keys=cast(PassportKeys, Published()), clock=lambda: NOW)
    return Verified(settings=SETTINGS, gate=gate)


def passport(ring: Any = RING, *, audience: str = "haetae-policy-api", now: int = NOW, **members: Any) -> str:
    minter = PassportMinter(issuer="gate", ring=ring)
    return minter.mint(audience=audience, subject="kim", context=CONTEXT, passport_id="p" * 22, now=now, **members)


def lines(token: str) -> list[tuple[str, str]]:
    return [("x-passport", token)]


async def test_person_gets_the_highest_role_of_their_groups() -> None:
    user = {"groups": ["analysts", "approvers", "others"]}
    caller = await identify()(lines(passport(user=user)))
    assert (caller.name, caller.role, caller.browser) == ("kim", Role.APPROVER, True)


@pytest.mark.parametrize("user", [{"groups": ["others"]}, {"groups": "approvers"}, {}, {"roles": ["approvers"]}])
async def test_person_without_a_listed_group_may_do_nothing(user: dict[str, Any]) -> None:
    with pytest.raises(NotAllowed):
        await identify()(lines(passport(user=user)))


async def test_listed_service_gets_its_scopes_and_nothing_that_does_not_exist() -> None:
    caller = await identify()(lines(passport(extra={"svc": "fraud"})))
    assert (caller.name, caller.is_machine, caller.scopes) == ("fraud", True, frozenset({READ, WRITE}))


@pytest.mark.parametrize("extra", [{"svc": "unknown"}, {"svc": ["fraud"]}, None])
async def test_other_services_may_do_nothing(extra: dict[str, Any] | None) -> None:
    with pytest.raises(NotAllowed):
        await identify()(lines(passport(extra=extra)))


@pytest.mark.parametrize(
    "token",
    [
        passport(FORGED, user={"groups": ["approvers"]}),
        passport(audience="bank", user={"groups": ["approvers"]}),
        passport(now=NOW - 120, user={"groups": ["approvers"]}),
        "nonsense",
    ],
    ids=["forged", "for another service", "expired", "nonsense"],
)
async def test_passport_that_does_not_verify_signs_nobody_in(token: str) -> None:
    with pytest.raises(NotSignedIn):
        await identify()(lines(token))


async def test_two_identities_are_none() -> None:
    good = passport(user={"groups": ["approvers"]})
    with pytest.raises(NotSignedIn):
        await identify()([*lines(good), ("authorization", "Bearer x")])
    with pytest.raises(NotSignedIn):
        await identify()([*lines(good), *lines(good)])
    with pytest.raises(NotSignedIn):
        await identify()([])
