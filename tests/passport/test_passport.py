"""Passports: what is stated comes out, and nothing else gets through."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from haetae_crypto.errors import KeyUnavailable
from haetae_crypto.jwks import JwkSet, parse_jwks
from haetae_crypto.keyring import KeyState
from haetae_passport import (
    MAX_PASSPORT_CHARS,
    PassportInvalid,
    PassportKeyUnknown,
    PassportMinter,
    PassportPolicy,
    PassportUnmintable,
    PassportVerifier,
    Risk,
    jwks_document,
)
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk as jose_jwk
from joserfc import jwt as jose_jwt

from tests.passport.world import (
    AUDIENCE,
    CONTEXT,
    DEVICE,
    ISSUER,
    NOW,
    POLICY,
    USER,
    VERIFIER,
    context,
    key,
    mint,
    published,
    ring,
)  # fmt: skip


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changes: object) -> dict[str, object]:
    """Good claims with `changes`; a change to `...` removes the claim."""
    good: dict[str, object] = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "u-1029", "iat": NOW, "exp": NOW + 60, "jti": "p-1", "cns": {},
        "ctx": {"gateway": "app", "route": "r", "trace": "t", "client": "::1", "auth": []},
    }  # fmt: skip
    return {name: value for name, value in (good | changes).items() if value is not ...}


def ctx(**changes: object) -> dict[str, object]:
    good: dict[str, object] = {"gateway": "app", "route": "r", "trace": "t", "client": "::1", "auth": []}
    return {name: value for name, value in (good | changes).items() if value is not ...}


def signed(body: dict[str, object] | bytes, **header: object) -> str:
    """A token signed by key 1, with a good header changed by `header`."""
    good: dict[str, object] = {"alg": "EdDSA", "typ": "passport+jwt", "kid": "key-1"}
    head = {name: value for name, value in (good | header).items() if value is not ...}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    signing_input = f"{b64(json.dumps(head).encode())}.{b64(raw)}"
    return f"{signing_input}.{b64(key(1).sign(signing_input.encode()))}"


def reason_for(token: str, *, now: float = NOW + 1, keys: JwkSet | None = None) -> str:
    with pytest.raises(PassportInvalid) as caught:
        VERIFIER.verify(token, keys=keys or published(), now=now)
    assert caught.value.code == "passport-invalid"
    return caught.value.reason


def test_every_fact_stated_at_the_gate_is_read_by_the_service() -> None:
    passport = VERIFIER.verify(mint(), keys=published(), now=NOW + 1)
    assert (passport.issuer, passport.audience, passport.subject) == (ISSUER, AUDIENCE, "u-1029")
    assert (passport.issued_at, passport.expires_at, passport.passport_id) == (NOW, NOW + 60, "p-1")
    assert (passport.user, passport.device, passport.context) == (USER, DEVICE, CONTEXT)
    assert passport.risk == Risk(score=0.12, level="low")
    assert passport.user_words("roles") == {"customer", "beta"}
    assert passport.user_words("groups") == frozenset()
    assert passport.has_consented("credit-check")
    assert not passport.has_consented("marketing")
    assert not passport.has_consented("unheard-of")


def test_device_only_call_has_no_user_and_no_risk() -> None:
    token = mint(subject="dev_7Q", user=None, risk=None, consents=None)
    passport = VERIFIER.verify(token, keys=published(), now=NOW)
    assert (passport.user, passport.risk, dict(passport.consents)) == (None, None, {})
    assert passport.user_words("roles") == frozenset()


def test_claims_of_a_later_version_stay_readable() -> None:
    token = signed(claims(new={"a": [1]}, ctx=ctx(tenant="t-1")))
    passport = VERIFIER.verify(token, keys=published(), now=NOW)
    assert passport.claims["new"] == {"a": [1]}
    assert passport.context.members["tenant"] == "t-1"
    assert VERIFIER.verify(mint(extra={"act": {"sub": "x"}}), keys=published(), now=NOW).claims["act"] == {"sub": "x"}


def test_consent_must_be_exactly_true() -> None:
    passport = VERIFIER.verify(signed(claims(cns={"a": 1, "b": "true", "c": {}})), keys=published(), now=NOW)
    assert not any(passport.has_consented(name) for name in "abc")


CLAIM_TRICKS: list[tuple[dict[str, object], str]] = [
    ({"iss": ...}, "claim-iss"), ({"iss": ISSUER + "/"}, "issuer"), ({"iss": [ISSUER]}, "claim-iss"),
    ({"aud": "transfer"}, "audience"), ({"aud": "transfer-service-2"}, "audience"), ({"aud": [AUDIENCE]}, "claim-aud"),
    ({"aud": ...}, "claim-aud"), ({"aud": ""}, "claim-aud"), ({"sub": ""}, "claim-sub"), ({"sub": 7}, "claim-sub"),
    ({"sub": ...}, "claim-sub"), ({"jti": ""}, "claim-jti"), ({"jti": 1}, "claim-jti"), ({"jti": ...}, "claim-jti"),
    ({"jti": "j" * 257}, "claim-jti"), ({"exp": ...}, "claim-exp"), ({"exp": str(NOW + 60)}, "claim-exp"),
    ({"exp": NOW + 60.0}, "claim-exp"), ({"exp": True}, "claim-exp"), ({"exp": -1}, "claim-exp"),
    ({"exp": 2**53 - 1}, "lifetime"), ({"exp": 10**30}, "malformed"), ({"exp": NOW + 61}, "lifetime"),
    ({"exp": NOW}, "lifetime"), ({"exp": NOW - 5, "iat": NOW - 60}, "expired"), ({"iat": ...}, "claim-iat"),
    ({"iat": NOW + 7, "exp": NOW + 60}, "issued-in-the-future"), ({"iat": False}, "claim-iat"),
    ({"usr": "u-1029"}, "claim-usr"), ({"usr": []}, "claim-usr"), ({"dev": 1}, "claim-dev"), ({"cns": []}, "claim-cns"),
    ({"rsk": 0.5}, "claim-rsk"), ({"rsk": {}}, "claim-rsk"), ({"rsk": {"score": 1.1, "level": "x"}}, "claim-rsk"),
    ({"rsk": {"score": -0.1, "level": "x"}}, "claim-rsk"), ({"rsk": {"score": True, "level": "x"}}, "claim-rsk"),
    ({"rsk": {"score": "0", "level": "x"}}, "claim-rsk"), ({"rsk": {"score": 0, "level": ""}}, "claim-rsk"),
    ({"rsk": {"score": 0}}, "claim-rsk"), ({"ctx": ...}, "claim-ctx"), ({"ctx": None}, "claim-ctx"),
    ({"ctx": ctx(client="home")}, "claim-ctx"), ({"ctx": ctx(client=...)}, "claim-ctx"),
    ({"ctx": ctx(gateway="")}, "claim-ctx"), ({"ctx": ctx(route=1)}, "claim-ctx"),
    ({"ctx": ctx(trace="")}, "claim-ctx"), ({"ctx": ctx(trace=None)}, "claim-ctx"),
    ({"ctx": ctx(auth="mtls")}, "claim-ctx"), ({"ctx": ctx(auth=[""])}, "claim-ctx"),
    ({"ctx": ctx(auth=[1])}, "claim-ctx"),    ({"ctx": ctx(auth=["a"] * 17)}, "claim-ctx"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "reason"), CLAIM_TRICKS)
def test_signed_passport_with_wrong_claims_is_refused(changes: dict[str, object], reason: str) -> None:
    assert reason_for(signed(claims(**changes))) == reason


def test_leeway_is_the_same_on_both_sides_and_ends_sharply() -> None:
    token = mint()
    for now in (NOW - 5, NOW, NOW + 64.9):
        VERIFIER.verify(token, keys=published(), now=now)
    assert reason_for(token, now=NOW - 5.1) == "issued-in-the-future"
    assert reason_for(token, now=NOW + 65) == "expired"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "none"}, "algorithm"), ({"alg": "HS256"}, "algorithm"), ({"alg": "Ed25519"}, "algorithm"),
        ({"alg": "eddsa"}, "algorithm"), ({"alg": "ES256"}, "algorithm"), ({"typ": "at+jwt"}, "type"),
        ({"typ": "JWT"}, "type"), ({"typ": ...}, "type"), ({"kid": ...}, "key-id"), ({"kid": "key-2"}, "key-unknown"),
        ({"kid": "../key-1"}, "key-unknown"), ({"kid": "KEY-1"}, "key-unknown"), ({"kid": ["key-1"]}, "malformed"),
        ({"crit": ["exp"]}, "malformed"), ({"b64": False, "crit": ["b64"]}, "malformed"), ({"cty": "JWT"}, "malformed"),
    ],
)  # fmt: skip
def test_passport_with_another_header_is_refused(header: dict[str, object], reason: str) -> None:
    assert reason_for(signed(claims(), **header)) == reason


@pytest.mark.parametrize(
    "text",
    ["", "x", mint() + "=", mint() + ".", mint() + "\n", mint() + "A" * 4_000_000, mint()[:-1] + "é",
     signed(b"[]"), signed(b'{"sub":"a","sub":"b"}'), signed(json.dumps(claims()).encode("utf-16")),
     signed(b"\xef\xbb\xbf" + json.dumps(claims()).encode())],
    ids=["empty", "word", "padded", "dot", "newline", "huge", "non-ascii", "list", "twice", "utf-16", "bom"],
)  # fmt: skip
def test_text_that_is_not_exactly_a_passport_is_malformed(text: str) -> None:
    assert reason_for(text) == "malformed"


def test_signature_of_another_key_under_our_key_id_is_refused() -> None:
    head, body, _ = mint().split(".")
    for forged in (Ed25519PrivateKey.generate().sign(f"{head}.{body}".encode()), b"", b"\0" * 64, b"\0" * 63):
        assert reason_for(f"{head}.{body}.{b64(forged)}") == "signature"


def test_key_of_another_kind_under_our_key_id_is_never_used() -> None:
    p256 = {"kty": "EC", "crv": "P-256", "kid": "key-1", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}  # fmt: skip
    keys = parse_jwks(json.dumps({"keys": [p256]}).encode())
    with pytest.raises(PassportKeyUnknown):
        VERIFIER.verify(mint(), keys=keys, now=NOW)


GOOD = mint()
_KEYS = published()


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 5))
def test_one_changed_bit_is_refused(index: int, bit: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    new = "A" if GOOD[index] == "." else alphabet[alphabet.index(GOOD[index]) ^ (1 << bit)]
    with pytest.raises(PassportInvalid):
        VERIFIER.verify(GOOD[:index] + new + GOOD[index + 1 :], keys=_KEYS, now=NOW)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_FACTS = st.dictionaries(st.text(max_size=8), _JSON, max_size=4)


@given(st.dictionaries(st.sampled_from([*claims(), "usr", "dev", "rsk"]), _JSON, max_size=4))
def test_any_signed_claims_are_a_passport_for_us_or_the_declared_error(changes: dict[str, object]) -> None:
    try:
        passport = VERIFIER.verify(signed(claims() | changes), keys=_KEYS, now=NOW)
    except PassportInvalid:
        return
    assert (passport.issuer, passport.audience) == (ISSUER, AUDIENCE)
    assert 0 < passport.expires_at - passport.issued_at <= 60


@given(st.text(max_size=60), _FACTS, _FACTS, st.floats(0, 1), st.text(max_size=10))
def test_whatever_is_minted_verifies_and_says_the_same(
    subject: str, user: dict[str, object], consents: dict[str, object], score: float, level: str
) -> None:
    try:
        token = mint(subject=subject, user=user, consents=consents, risk=Risk(score=score, level=level))
    except PassportUnmintable:
        return
    passport = VERIFIER.verify(token, keys=_KEYS, now=NOW)
    assert (passport.subject, passport.user, passport.consents) == (subject, user, consents)
    assert passport.risk == Risk(score=score, level=level)


@pytest.mark.parametrize(
    "facts",
    [
        {"subject": ""}, {"subject": "u" * 257}, {"passport_id": ""}, {"risk": Risk(1.5, "x")},
        {"risk": Risk(float("nan"), "x")}, {"risk": Risk(0.5, "")}, {"user": {"at": datetime(2027, 1, 1, tzinfo=UTC)}},
        {"user": {"n": 2**53}}, {"user": {"s": {1}}}, {"user": {1: "a"}}, {"user": {"t": "\ud800"}},
        {"user": {"big": "x" * MAX_PASSPORT_CHARS}}, {"extra": {"sub": "admin"}}, {"extra": {"nbf": 0}},
    ],
)  # fmt: skip
def test_facts_that_no_service_could_read_are_not_minted(facts: dict[str, object]) -> None:
    with pytest.raises(PassportUnmintable):
        mint(**facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"route": ""}, {"auth": ("",)}, {"auth": ("a",) * 17}, {"trace": "t" * 257}])
def test_context_that_no_service_could_read_is_not_minted(changes: dict[str, object]) -> None:
    with pytest.raises(PassportUnmintable):
        mint(context=context(**changes))
    with pytest.raises(PassportUnmintable):
        mint(audience="")


def test_settings_that_cannot_work_are_refused() -> None:
    for bad in ({"issuer": ""}, {"lifetime": 0}, {"lifetime": 301}):
        with pytest.raises(ValueError):
            PassportMinter(**({"issuer": ISSUER, "ring": ring()} | bad))  # type: ignore[arg-type]
    for wrong in ({"issuer": ""}, {"audience": ""}, {"leeway": 61}, {"leeway": -1}, {"max_lifetime": 0}):
        with pytest.raises(ValueError):
            PassportPolicy(**({"issuer": ISSUER, "audience": AUDIENCE} | wrong))


def test_published_keys_hold_next_active_and_former_ones_and_no_secret() -> None:
    document = jwks_document(
        ring((1, KeyState.VERIFY_ONLY), (2, KeyState.ACTIVE), (3, KeyState.NEXT), (4, KeyState.RETIRED)), now=NOW
    )
    keys = json.loads(document)["keys"]
    assert [entry["kid"] for entry in keys] == ["key-1", "key-2", "key-3"]
    assert {frozenset(entry) for entry in keys} == {frozenset({"kty", "crv", "x", "kid", "alg", "use"})}


def test_key_is_published_before_it_signs_so_that_rotation_refuses_nobody() -> None:
    before = ring((1, KeyState.ACTIVE), (2, KeyState.NEXT))
    after = ring((1, KeyState.VERIFY_ONLY), (2, KeyState.ACTIVE))
    minter = PassportMinter(issuer=ISSUER, ring=before)
    old = mint(minter=minter)
    minter.use_ring(after)
    new = mint(minter=minter)
    for keys in (published(before), published(after)):
        for token in (old, new):
            VERIFIER.verify(token, keys=keys, now=NOW)
    with pytest.raises(PassportKeyUnknown):
        VERIFIER.verify(old, keys=published(ring((2, KeyState.ACTIVE))), now=NOW)


def test_ring_without_an_active_key_mints_nothing() -> None:
    with pytest.raises(KeyUnavailable):
        mint(minter=PassportMinter(issuer=ISSUER, ring=ring((1, KeyState.NEXT))))


def test_pyjwt_and_joserfc_accept_what_we_mint_and_we_what_they_sign() -> None:
    public = key(1).jwk.public.key
    assert (
        pyjwt.decode(
            mint(),
            public,
            algorithms=["EdDSA"],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={"verify_exp": False, "verify_iat": False},
        )["sub"]
        == "u-1029"
    )
    jose_key = jose_jwk.OKPKey.import_key(key(1).to_secret_dict())  # type: ignore[arg-type]
    with pytest.warns(match="EdDSA"):
        assert jose_jwt.decode(mint(), jose_key, algorithms=["EdDSA"]).claims["aud"] == AUDIENCE
    header = {"kid": "key-1", "typ": "passport+jwt"}
    theirs = pyjwt.encode(claims(), Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32), "EdDSA", headers=header)
    assert VERIFIER.verify(theirs, keys=published(), now=NOW).subject == "u-1029"


def test_longer_lived_passports_need_a_policy_that_says_so() -> None:
    token = mint(minter=PassportMinter(issuer=ISSUER, ring=ring(), lifetime=120))
    assert reason_for(token) == "lifetime"
    lax = PassportVerifier(PassportPolicy(issuer=POLICY.issuer, audience=POLICY.audience, max_lifetime=120))
    assert lax.verify(token, keys=published(), now=NOW).expires_at == NOW + 120
