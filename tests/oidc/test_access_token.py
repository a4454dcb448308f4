"""Access tokens: the good ones, and every other kind one could send."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from haetae_crypto.jwk import P256_ORDER
from haetae_crypto.jwks import parse_jwks
from haetae_oidc import (
    ASYMMETRIC_ALGORITHMS,
    AccessTokenVerifier,
    KeyUnknown,
    ScopeInsufficient,
    SettingsInvalid,
    TokenInvalid,
    TokenPolicy,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.oidc.forge import (
    AUDIENCE,
    ISSUER,
    NOW,
    Keys,
    PrivateKey,
    b64,
    claims,
    ec_key,
    ed_key,
    header,
    issuer_keys,
    rsa_key,
    sign,
    token,
)

THUMBPRINT = b64(hashlib.sha256(b"key").digest())


def policy(
    algorithms: frozenset[str] = ASYMMETRIC_ALGORITHMS,
    required: frozenset[str] = frozenset({"client_id", "jti"}),
) -> TokenPolicy:
    return TokenPolicy(issuer=ISSUER, audience=AUDIENCE, algorithms=algorithms, required=required)


def verifier(**settings: frozenset[str]) -> AccessTokenVerifier:
    return AccessTokenVerifier(policy(**settings), Keys(issuer_keys()), remembered=0)


def reason_for(text: str, *, now: float = NOW + 1) -> str:
    with pytest.raises(TokenInvalid) as caught:
        verifier().verify(text, now=now)
    assert caught.value.code == "token-invalid"
    return caught.value.reason


def test_good_token_tells_who_calls_and_what_was_granted() -> None:
    access = verifier().verify(
        token(claims(acr="gold", cnf={"jkt": THUMBPRINT, "x5t#S256": THUMBPRINT}, more=1)), now=NOW + 1
    )
    assert (access.subject, access.client_id, access.token_id) == ("u-1029", "app", "t-1")
    assert access.scopes == {"read", "transfer"}
    assert (access.issued_at, access.expires_at, access.acr) == (NOW, NOW + 600, "gold")
    assert (access.cnf_jkt, access.cnf_x5t) == (THUMBPRINT, THUMBPRINT)
    assert access.claims["more"] == 1
    assert not access.acts_for_itself


@pytest.mark.parametrize("alg", sorted(ASYMMETRIC_ALGORITHMS - {"Ed25519"}))
def test_each_listed_algorithm_verifies_with_its_kind_of_key(alg: str) -> None:
    own: dict[str, tuple[str, PrivateKey]] = {"Ed": ("ed", ed_key()), "ES": ("ec", ec_key())}
    kid, key = own.get(alg[:2], ("rsa", rsa_key()))
    good = token(head=header(alg=alg, kid=kid), key=key, alg=alg)
    assert verifier().verify(good, now=NOW).subject == "u-1029"
    broken = good[:-20] + ("A" if good[-20] != "A" else "B") + good[-19:]
    assert reason_for(broken) == "signature"


def test_type_compares_without_case_and_with_its_long_form() -> None:
    for typ in ("at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"):
        verifier().verify(token(head=header(typ=typ)), now=NOW)


def test_audience_may_be_a_list_that_contains_us() -> None:
    verifier().verify(token(claims(aud=["https://other.example", AUDIENCE])), now=NOW)


def test_issuer_without_key_ids_is_fine_while_only_one_key_fits() -> None:
    verifier().verify(token(head=header(kid=...)), now=NOW)


CLAIM_TRICKS: list[tuple[dict[str, object], str]] = [
    ({"iss": "https://login.example/"}, "issuer"),
    ({"iss": "https://login"}, "issuer"),
    ({"iss": [ISSUER]}, "claim-iss"),
    ({"iss": ...}, "claim-iss"),
    ({"aud": "https://api.example.evil"}, "audience"),
    ({"aud": "https://api"}, "audience"),
    ({"aud": ["https://api.example/"]}, "audience"),
    ({"aud": [[AUDIENCE]]}, "claim-aud"),
    ({"aud": {AUDIENCE: 1}}, "claim-aud"),
    ({"aud": []}, "claim-aud"),
    ({"aud": ""}, "claim-aud"),
    ({"aud": [AUDIENCE, 7]}, "claim-aud"),
    ({"aud": [AUDIENCE] * 33}, "claim-aud"),
    ({"aud": ...}, "claim-aud"),
    ({"sub": ...}, "claim-sub"),
    ({"sub": ""}, "claim-sub"),
    ({"sub": 1029}, "claim-sub"),
    ({"sub": None}, "claim-sub"),
    ({"sub": "u" * 513}, "claim-sub"),
    ({"client_id": ...}, "claim-client_id"),
    ({"client_id": ""}, "claim-client_id"),
    ({"client_id": None}, "claim-client_id"),
    ({"jti": ...}, "claim-jti"),
    ({"jti": ""}, "claim-jti"),
    ({"jti": 7}, "claim-jti"),
    ({"exp": ...}, "claim-exp"),
    ({"exp": str(NOW + 600)}, "claim-exp"),
    ({"exp": NOW + 600.5}, "claim-exp"),
    ({"exp": float(NOW + 600)}, "claim-exp"),
    ({"exp": True}, "claim-exp"),
    ({"exp": -1}, "claim-exp"),
    ({"exp": None}, "claim-exp"),
    ({"exp": [NOW + 600]}, "claim-exp"),
    ({"exp": 2**53 - 1}, "lifetime"),
    ({"exp": 10**400}, "malformed"),
    ({"exp": NOW + 3601}, "lifetime"),
    ({"exp": NOW}, "lifetime"),
    ({"exp": NOW - 31, "iat": NOW - 60}, "expired"),
    ({"iat": ...}, "claim-iat"),
    ({"iat": str(NOW)}, "claim-iat"),
    ({"iat": False}, "claim-iat"),
    ({"iat": NOW + 32}, "issued-in-the-future"),
    ({"nbf": NOW + 32}, "not-yet-valid"),
    ({"nbf": str(NOW)}, "claim-nbf"),
    ({"nbf": None}, "claim-nbf"),
    ({"scope": ["read"]}, "claim-scope"),
    ({"scope": "read  transfer"}, "claim-scope"),
    ({"scope": " read"}, "claim-scope"),
    ({"scope": "read\ttransfer"}, "claim-scope"),
    ({"scope": 'a"b'}, "claim-scope"),
    ({"scope": None}, "claim-scope"),
    ({"acr": 2}, "claim-acr"),
    ({"cnf": None}, "claim-cnf"),
    ({"cnf": "jkt"}, "claim-cnf"),
    ({"cnf": {}}, "claim-cnf"),
    ({"cnf": {"kid": "elsewhere"}}, "claim-cnf"),
    ({"cnf": {"jkt": "short"}}, "claim-cnf"),
    ({"cnf": {"jkt": THUMBPRINT[:-1] + "="}}, "claim-cnf"),
    ({"cnf": {"jkt": THUMBPRINT, "x5t#S256": 7}}, "claim-cnf"),
]


@pytest.mark.parametrize(("changes", "reason"), CLAIM_TRICKS)
def test_signed_token_with_wrong_claims_is_refused(changes: dict[str, object], reason: str) -> None:
    assert reason_for(token(claims(**changes))) == reason


def test_leeway_is_the_same_on_both_sides_and_ends_sharply() -> None:
    good = token(claims(nbf=NOW + 5))
    verifier().verify(good, now=NOW - 25)
    verifier().verify(good, now=NOW + 629.9)
    assert reason_for(good, now=NOW + 630) == "expired"
    assert reason_for(good, now=NOW - 25.1) == "not-yet-valid"


def public_pem() -> bytes:
    return rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hs256(secret: bytes, head: dict[str, object]) -> str:
    signing_input = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims()).encode())}"
    return f"{signing_input}.{b64(hmac.new(secret, signing_input.encode(), 'sha256').digest())}"


def unsigned(alg: object) -> str:
    return f"{b64(json.dumps(header(alg=alg)).encode())}.{b64(json.dumps(claims()).encode())}."


def der_signed() -> str:
    signing_input = token().rpartition(".")[0]
    return f"{signing_input}.{b64(ec_key().sign(signing_input.encode(), ECDSA(SHA256())))}"


def with_signature(r: int, s: int, size: int = 32) -> str:
    raw = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return f"{token().rpartition('.')[0]}.{b64(raw)}"


def nested() -> str:
    return token(token().encode(), header(cty="JWT"))


TOKEN_TRICKS: dict[str, tuple[Callable[[], str], str]] = {
    "none": (lambda: unsigned("none"), "algorithm"),
    "none in capitals": (lambda: unsigned("NONE"), "algorithm"),
    "no algorithm": (lambda: unsigned(None), "malformed"),
    "good algorithm, no signature": (lambda: unsigned("ES256"), "signature"),
    "HMAC with the public key as secret": (lambda: hs256(public_pem(), header(alg="HS256", kid="rsa")), "algorithm"),
    "lower-case algorithm": (lambda: token(head=header(alg="es256")), "algorithm"),
    "other kind of key than the algorithm": (lambda: token(head=header(kid="rsa")), "algorithm"),
    "algorithm of another key": (lambda: token(head=header(alg="RS256")), "algorithm"),
    "unlisted algorithm": (lambda: token(head=header(alg="ES384")), "algorithm"),
    "no type": (lambda: token(head=header(typ=...)), "type"),
    "type of an ID token": (lambda: token(head=header(typ="JWT")), "type"),
    "type of a logout token": (lambda: token(head=header(typ="logout+jwt")), "type"),
    "type of a Passport": (lambda: token(head=header(typ="passport+jwt")), "type"),
    "type with a parameter": (lambda: token(head=header(typ="at+jwt;x=1")), "type"),
    "type twice prefixed": (lambda: token(head=header(typ="application/application/at+jwt")), "type"),
    "key id as a path": (lambda: token(head=header(kid="../../../../dev/null")), "key-unknown"),
    "key id as SQL": (lambda: token(head=header(kid="ec' OR '1'='1")), "key-unknown"),
    "key id as a URL": (lambda: token(head=header(kid="https://evil.example/k")), "key-unknown"),
    "key id with a newline": (lambda: token(head=header(kid="ec\n")), "key-unknown"),
    "key id in other case": (lambda: token(head=header(kid="EC")), "key-unknown"),
    "key id that is a list": (lambda: token(head=header(kid=["ec"])), "malformed"),
    "critical extension": (lambda: token(head=header(crit=["exp"])), "malformed"),
    "unencoded payload": (lambda: token(head=header(b64=False, crit=["b64"])), "malformed"),
    "compressed": (lambda: token(head=header(zip="DEF")), "malformed"),
    "nested": (nested, "malformed"),
    "signed text that is no JSON": (lambda: token(b"exp=1"), "malformed"),
    "signed list": (lambda: token(b"[]"), "malformed"),
    "claim twice": (lambda: token(b'{"sub":"victim",' + json.dumps(claims()).encode()[1:]), "malformed"),
    "claims in UTF-16": (lambda: token(json.dumps(claims()).encode("utf-16")), "malformed"),
    "claims with a byte order mark": (lambda: token(b"\xef\xbb\xbf" + json.dumps(claims()).encode()), "malformed"),
    "not a number": (lambda: token(b'{"exp":NaN}'), "malformed"),
    "infinite": (lambda: token(json.dumps(claims()).encode().replace(b"1800000600", b"1e999")), "malformed"),
    "lone surrogate": (lambda: token(b'{"sub":"\\ud800"}'), "malformed"),
    "padding": (lambda: token() + "=", "malformed"),
    "signature with spare bits": (lambda: token()[:-1] + chr(ord(token()[-1]) + 1), "malformed"),
    "line break at the end": (lambda: token() + "\n", "malformed"),
    "four parts": (lambda: token() + ".x", "malformed"),
    "five parts, as of an encrypted token": (lambda: token() + ".x.y", "malformed"),
    "JSON serialisation": (lambda: json.dumps({"payload": "e30", "signatures": []}), "malformed"),
    "nothing": (lambda: "", "malformed"),
    "huge": (lambda: token() + "A" * 4_000_000, "malformed"),
    "huge claim": (lambda: token(claims(x="y" * 8000)), "malformed"),
    "DER signature": (der_signed, "signature"),
    "r and s zero": (lambda: with_signature(0, 0), "signature"),
    "r and s the group order": (lambda: with_signature(P256_ORDER, P256_ORDER), "signature"),
    "signature of P-521 size": (lambda: with_signature(1, 1, 66), "signature"),
    "another key's signature": (lambda: token(key=generate_private_key(ec_key().curve)), "signature"),
    "key in the header": (lambda: token(head=header(kid="mine", jwk={"kty": "EC"})), "key-unknown"),
    "address of keys in the header": (lambda: token(head=header(kid="mine", jku="https://a.example/")), "key-unknown"),
}  # fmt: skip


@pytest.mark.parametrize("name", TOKEN_TRICKS)
def test_hostile_token_is_refused(name: str) -> None:
    make, reason = TOKEN_TRICKS[name]
    assert reason_for(make()) == reason


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "OKP", "crv": "Ed448", "x": b64(Ed448PrivateKey.generate().public_key().public_bytes_raw())},
        {"kty": "OKP", "crv": "X25519", "x": b64(X25519PrivateKey.generate().public_key().public_bytes_raw())},
    ],
    ids=["Ed448", "X25519"],
)
def test_eddsa_token_never_meets_a_key_of_another_curve(jwk: dict[str, str]) -> None:
    honest = {"kty": "OKP", "crv": "Ed25519", "x": b64(ed_key().public_key().public_bytes_raw()), "kid": "ed"}
    keys = parse_jwks(json.dumps({"keys": [jwk | {"kid": "odd"}, honest]}).encode())
    check = AccessTokenVerifier(policy(), Keys(keys))
    with pytest.raises(KeyUnknown):
        check.verify(token(head=header(alg="EdDSA", kid="odd"), key=ed_key()), now=NOW)
    assert check.verify(token(head=header(alg="EdDSA", kid="ed"), key=ed_key()), now=NOW).subject == "u-1029"


def test_p384_key_is_not_used_for_es256() -> None:
    numbers = generate_private_key(SECP384R1()).public_key().public_numbers()
    odd = {"kty": "EC", "crv": "P-384", "kid": "odd", "x": b64(numbers.x.to_bytes(48, "big")), "y": b64(b"y" * 48)}
    good = issuer_keys().keys[0].to_dict()
    keys = parse_jwks(json.dumps({"keys": [odd, good]}).encode())
    with pytest.raises(KeyUnknown):
        AccessTokenVerifier(policy(), Keys(keys)).verify(token(head=header(kid="odd")), now=NOW)


def test_token_for_an_unlisted_algorithm_is_refused_even_when_a_key_would_verify_it() -> None:
    only_rsa = AccessTokenVerifier(policy(frozenset({"RS256"})), Keys(issuer_keys()))
    with pytest.raises(TokenInvalid, match="algorithm"):
        only_rsa.verify(token(), now=NOW)


def test_token_without_key_id_is_refused_when_several_keys_fit() -> None:
    two = parse_jwks(
        json.dumps(
            {"keys": [k.to_dict() | {"kid": n} for n in "ab" for k in [Keys(issuer_keys()).current.keys[0]]]}  # type: ignore[union-attr]
        ).encode()
    )
    with pytest.raises(TokenInvalid, match="key-id"):
        AccessTokenVerifier(policy(), Keys(two)).verify(token(head=header(kid=...)), now=NOW)


def test_without_keys_every_plausible_token_asks_for_its_key_and_others_do_not() -> None:
    cold = AccessTokenVerifier(policy(), Keys(None))
    with pytest.raises(KeyUnknown) as caught:
        cold.verify(token(), now=NOW)
    assert caught.value.unverified_kid == "ec"
    with pytest.raises(TokenInvalid, match="type"):
        cold.verify(token(head=header(typ="JWT")), now=NOW)


def test_client_id_and_jti_may_be_waived_for_older_issuers_and_other_claims_demanded() -> None:
    lax = verifier(required=frozenset())
    access = lax.verify(token(claims(client_id=..., jti=...)), now=NOW)
    assert (access.client_id, access.token_id) == (None, None)
    strict = verifier(required=frozenset({"tenant"}))
    with pytest.raises(TokenInvalid, match="claim-tenant"):
        strict.verify(token(), now=NOW)
    strict.verify(token(claims(tenant="t")), now=NOW)


def test_scope_is_a_whole_word() -> None:
    access = verifier().verify(token(claims(scope="read:all transfer")), now=NOW)
    access.require_scopes(frozenset({"transfer", "read:all"}))
    for missing in ("read", "trans", "transfer:all", "TRANSFER"):
        with pytest.raises(ScopeInsufficient) as caught:
            access.require_scopes(frozenset({missing}))
        assert caught.value.required == {missing}
    assert verifier().verify(token(claims(scope=...)), now=NOW).scopes == frozenset()
    assert verifier().verify(token(claims(scope="")), now=NOW).scopes == frozenset()


def test_client_acting_for_itself_is_told_from_a_user() -> None:
    assert verifier().verify(token(claims(sub="app")), now=NOW).acts_for_itself


@pytest.mark.parametrize(
    "settings",
    [
        {"algorithms": frozenset()},
        {"algorithms": frozenset({"none"})},
        {"algorithms": frozenset({"ES256", "HS256"})},
        {"types": frozenset()},
        {"types": frozenset({"AT+JWT"})},
        {"types": frozenset({"application/at+jwt"})},
        {"issuer": ""},
        {"audience": ""},
        {"leeway": -1},
        {"leeway": 301},
        {"max_lifetime": 0},
        {"max_chars": 10},
    ],
)
def test_unsafe_policy_cannot_be_made(settings: dict[str, object]) -> None:
    good: dict[str, object] = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": frozenset({"ES256"})}
    with pytest.raises(SettingsInvalid):
        TokenPolicy(**(good | settings))  # type: ignore[arg-type]


GOOD = token()
_VERIFIER = verifier()


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 5))
def test_one_changed_bit_is_refused(index: int, bit: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    char = GOOD[index]
    new = "A" if char == "." else alphabet[alphabet.index(char) ^ (1 << bit)]
    with pytest.raises(TokenInvalid):
        _VERIFIER.verify(GOOD[:index] + new + GOOD[index + 1 :], now=NOW)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just(AUDIENCE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*claims(), "nbf", "cnf", "acr"]), _JSON, max_size=4))
def test_any_signed_claims_are_a_token_of_the_right_shape_or_the_declared_error(changes: dict[str, object]) -> None:
    text = token(claims() | changes, header(alg="EdDSA", kid="ed"), key=ed_key())
    try:
        access = _VERIFIER.verify(text, now=NOW)
    except TokenInvalid:
        return
    assert access.issuer == ISSUER
    assert AUDIENCE in access.audience
    assert NOW - 30 < access.expires_at <= access.issued_at + 3600
    assert access.subject
    assert access.token_id


def test_low_and_high_s_are_two_spellings_but_one_token() -> None:
    """ECDSA allows both `s` and `n - s`: whoever remembers tokens must not count them as two."""
    signing_input, _, signature = token().rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    twin = f"{signing_input}.{b64(r.to_bytes(32, 'big') + (P256_ORDER - s).to_bytes(32, 'big'))}"
    ec_key().public_key().verify(encode_dss_signature(r, P256_ORDER - s), signing_input.encode(), ECDSA(SHA256()))
    check = verifier()
    assert check.verify(twin, now=NOW) == check.verify(f"{signing_input}.{signature}", now=NOW)
    assert check.verify(twin, now=NOW).token_id == "t-1"


def test_forger_with_his_own_key_under_our_key_id_is_refused() -> None:
    his = Ed25519PrivateKey.generate()
    signing_input = token(head=header(alg="EdDSA", kid="ed"), key=his).rpartition(".")[0]
    assert reason_for(f"{signing_input}.{b64(sign('EdDSA', signing_input.encode(), his))}") == "signature"
