"""A gateway that mints, and the facts it states."""

from dataclasses import replace

from haetae_crypto.jwks import JwkSet, parse_jwks
from haetae_crypto.keyring import KeyRing, KeyState, RingEntry
from haetae_crypto.signing_keys import DAY, SigningKey, SigningRing
from haetae_passport import CallContext, PassportMinter, PassportPolicy, PassportVerifier, Risk, jwks_document

NOW = 1_800_000_000
ISSUER = "https://gateway.example"
AUDIENCE = "transfer-service"
POLICY = PassportPolicy(issuer=ISSUER, audience=AUDIENCE)
VERIFIER = PassportVerifier(POLICY)
CONTEXT = CallContext(
    gateway="app",
    route="transfer",
    trace="0af7651916cd43dd8448eb211c80319c",
    client="203.0.113.7",
    auth=("device-signature", "access-token"),
)
USER = {"id": "u-1029", "name": "김해태", "roles": ["customer", "beta"]}
DEVICE = {"id": "dev_7Q", "platform": "ios", "attestation": "strong"}


def key(number: int) -> SigningKey:
    return SigningKey.from_seed(bytes([number]) * 32, kid=f"key-{number}")


def ring(*entries: tuple[int, KeyState]) -> SigningRing:
    """A ring of numbered keys; by default key 1, active."""
    chosen = entries or ((1, KeyState.ACTIVE),)
    return KeyRing(
        tuple(
            RingEntry(kid=f"key-{number}", key=key(number), state=state, not_before=NOW - DAY, not_after=NOW + 90 * DAY)
            for number, state in chosen
        )
    )


def published(of: SigningRing | None = None) -> JwkSet:
    return parse_jwks(jwks_document(of or ring(), now=NOW))


def mint(
    *,
    minter: PassportMinter | None = None,
    audience: str = AUDIENCE,
    now: float = NOW,
    context: CallContext = CONTEXT,
    **facts: object,
) -> str:
    """A good Passport for the transfer service."""
    stated: dict[str, object] = {
        "subject": "u-1029",
        "passport_id": "p-1",
        "user": USER,
        "device": DEVICE,
        "consents": {"marketing": False, "credit-check": True},
        "risk": Risk(score=0.12, level="low"),
    }
    gateway = minter or PassportMinter(issuer=ISSUER, ring=ring())
    return gateway.mint(audience=audience, now=now, context=context, **(stated | facts))  # type: ignore[arg-type]


def context(**changes: object) -> CallContext:
    return replace(CONTEXT, **changes)  # type: ignore[arg-type]
