"""A service meets one Passport many times: its signature is checked once, everything it says each time."""

from dataclasses import replace

import pytest
from haetae_crypto.jwks import parse_jwks
from haetae_crypto.keyring import KeyState
from haetae_passport import PassportInvalid, PassportKeyUnknown, PassportVerifier, jwks_document
from haetae_passport.verifier import HeldSignatures

from tests.passport.world import NOW, POLICY, mint, published, ring


def verifier(limit: int = 16) -> PassportVerifier:
    return PassportVerifier(POLICY, held=HeldSignatures(limit))


def test_second_meeting_asks_no_key_for_the_signature_and_still_reads_every_claim(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service, keys, token = verifier(), published(), mint()
    first = service.verify(token, keys=keys, now=NOW)
    monkeypatch.setattr("haetae_passport.verifier._EDDSA", None)
    second = service.verify(token, keys=keys, now=NOW + 1)
    assert second == first
    assert second.user is not first.user
    with pytest.raises(PassportInvalid, match="expired"):
        service.verify(token, keys=keys, now=NOW + 65)
    with pytest.raises(PassportInvalid, match="audience"):
        PassportVerifier(replace(POLICY, audience="another"), held=service.held).verify(token, keys=keys, now=NOW)


def test_what_one_handler_does_to_the_claims_does_not_reach_the_next_request() -> None:
    service, keys, token = verifier(), published(), mint()
    spoilt = service.verify(token, keys=keys, now=NOW)
    assert isinstance(spoilt.user, dict)
    spoilt.user["roles"].append("admin")
    assert "admin" not in service.verify(token, keys=keys, now=NOW).user_words("roles")


def test_remembered_text_with_another_signature_is_refused() -> None:
    service, keys, token = verifier(), published(), mint()
    service.verify(token, keys=keys, now=NOW)
    head, body, signature = token.split(".")
    forged = ("B" if signature[0] == "A" else "A") + signature[1:]
    for _ in range(2):
        with pytest.raises(PassportInvalid, match="signature"):
            service.verify(f"{head}.{body}.{forged}", keys=keys, now=NOW)


def test_withdrawn_or_replaced_key_ends_what_it_signed() -> None:
    service, token = verifier(), mint()
    service.verify(token, keys=published(), now=NOW)
    other = jwks_document(ring((2, KeyState.ACTIVE)), now=NOW)
    with pytest.raises(PassportKeyUnknown):
        service.verify(token, keys=parse_jwks(other), now=NOW)
    named_alike = parse_jwks(other.replace(b"key-2", b"key-1"))
    with pytest.raises(PassportInvalid, match="signature"):
        service.verify(token, keys=named_alike, now=NOW)


def test_only_good_signatures_are_remembered_and_no_more_than_the_limit() -> None:
    service, keys = verifier(limit=3), published()
    for number in range(8):
        token = mint(passport_id=f"p-{number}")
        service.verify(token, keys=keys, now=NOW)
        with pytest.raises(PassportInvalid):
            service.verify(token[:-3] + "AAA", keys=keys, now=NOW)
    assert len(service.held) == 3
    nothing = verifier(limit=0)
    assert nothing.verify(mint(), keys=keys, now=NOW).subject == "u-1029"
    assert len(nothing.held) == 0
