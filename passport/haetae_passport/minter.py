"""Minting Passports: one signed statement of who and what a service is serving.

Rules kept: time and the unique id are arguments; the active key of the ring signs, so a key is published
before it is used; nothing is minted that a verifier would refuse for its shape or size. Speed matters here:
one JSON text, one signature, no intermediate objects, and none of it for a caller who has a Passport already.

Not done here: gathering the facts, choosing the audience, sending the header.
"""

from collections.abc import Hashable, Mapping
from typing import Final

import orjson
from haetae_crypto.jws import sign_compact
from haetae_crypto.signing_keys import SigningRing

from haetae_passport.claims import MAX_AUTH_METHODS, MAX_ID_CHARS, MAX_NAME_CHARS, CallContext, Risk
from haetae_passport.errors import PassportUnmintable
from haetae_passport.memory import PassportMemory
from haetae_passport.verifier import MAX_PASSPORT_CHARS, PASSPORT_LIFETIME, PASSPORT_TYP

_OWN_CLAIMS: Final = frozenset({"iss", "aud", "sub", "iat", "exp", "nbf", "jti", "usr", "dev", "cns", "rsk", "ctx"})
#: Passports that are kept for the next request of the same caller: of the order of 1 KB each.
MEMORY_LIMIT: Final = 8192
# 53 bits: beyond them readers of JSON disagree. Dates have no one text in JSON: the caller decides.
_JSON: Final = orjson.OPT_STRICT_INTEGER | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


class PassportMinter:
    """Mints Passports in the name of one issuer. `use_ring` takes effect with the next `mint`."""

    __slots__ = ("_issuer", "_lifetime", "_memory", "_ring")

    def __init__(
        self, *, issuer: str, ring: SigningRing, lifetime: int = PASSPORT_LIFETIME, memory: int = MEMORY_LIMIT
    ) -> None:
        """`lifetime` is in seconds, `memory` a number of Passports that `recall` may find.

        Raises ValueError when the lifetime is not 1..300 or the issuer has no name.
        """
        if not 0 < len(issuer) <= MAX_NAME_CHARS or not 0 < lifetime <= 300:
            raise ValueError("a minter needs an issuer and a lifetime of 1 to 300 seconds")
        self._issuer = issuer
        self._lifetime = lifetime
        self._ring = ring
        self._memory = PassportMemory(memory, lifetime=lifetime)

    def use_ring(self, ring: SigningRing) -> None:
        """Sign with `ring` from now on: after a rotation, or when key files changed."""
        self._ring = ring

    def recall(self, inputs: Hashable, facts: object, *, now: float) -> str | None:
        """The Passport kept for these inputs and facts, if it is in the first half of its life and of the key that
        signs at `now` (Unix seconds). Raises KeyUnavailable when the ring has no active key.
        """
        return self._memory.recall(inputs, facts, key=self._ring.active(now=now).key, now=now)

    def keep(self, inputs: Hashable, facts: object, token: str, *, now: float) -> None:
        """Remember what `mint` made at `now`. `inputs` and `facts` are all that went into it, whatever form they have
        with the caller; facts are compared, and must not change afterwards.
        """
        self._memory.keep(inputs, facts, token, key=self._ring.active(now=now).key, now=now)

    def mint(
        self,
        *,
        audience: str,
        subject: str,
        context: CallContext,
        passport_id: str,
        now: float,
        user: Mapping[str, object] | None = None,
        device: Mapping[str, object] | None = None,
        consents: Mapping[str, object] | None = None,
        risk: Risk | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> str:
        """The Passport as a compact JWS, for the header `X-Passport`.

        `now` is Unix seconds; `passport_id` must be unique (128 random bits). `extra` holds further claims;
        none of ours may be in it. Raises PassportUnmintable when the facts do not fit a Passport, and
        KeyUnavailable when the ring has no active key.
        JSON has no NaN and no infinity: inside the facts they become null.
        """
        _require_words(audience, subject, passport_id, context)
        issued_at = int(now)
        claims: dict[str, object] = {
            "iss": self._issuer,
            "aud": audience,
            "sub": subject,
            "iat": issued_at,
            "exp": issued_at + self._lifetime,
            "jti": passport_id,
            "cns": consents or {},
            "ctx": _context_claim(context),
        }
        if user is not None:
            claims["usr"] = user
        if device is not None:
            claims["dev"] = device
        if risk is not None:
            claims["rsk"] = _risk_claim(risk)
        if extra:
            _add_extra(claims, extra)
        key = self._ring.active(now=now).key
        token = sign_compact(_json(claims), key=key, typ=PASSPORT_TYP)
        if len(token) > MAX_PASSPORT_CHARS:
            raise PassportUnmintable(f"Passport longer than {MAX_PASSPORT_CHARS} characters")
        return token


def _context_claim(context: CallContext) -> dict[str, object]:
    claim: dict[str, object] = {
        "gateway": context.gateway,
        "route": context.route,
        "client": context.client,
        "auth": context.auth,
    }
    if context.trace is not None:
        claim["trace"] = context.trace
    return claim


def _require_words(audience: str, subject: str, passport_id: str, context: CallContext) -> None:
    if not 0 < len(audience) <= MAX_NAME_CHARS:
        raise PassportUnmintable("audience is empty or too long")
    trace = () if context.trace is None else (context.trace,)
    for word in (subject, passport_id, context.gateway, context.route, context.client, *context.auth, *trace):
        if not 0 < len(word) <= MAX_ID_CHARS:
            raise PassportUnmintable("a required word is empty or too long")
    if len(context.auth) > MAX_AUTH_METHODS:
        raise PassportUnmintable("too many authentication methods")


def _risk_claim(risk: Risk) -> dict[str, object]:
    if not 0 <= risk.score <= 1 or not risk.level:  # NaN compares false and is refused too
        raise PassportUnmintable("risk score is not in 0..1, or risk has no level")
    return {"score": risk.score, "level": risk.level}


def _add_extra(claims: dict[str, object], extra: Mapping[str, object]) -> None:
    if not _OWN_CLAIMS.isdisjoint(extra):
        raise PassportUnmintable("an extra claim would replace one of ours")
    claims.update(extra)


def _json(claims: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(claims, option=_JSON)
    except TypeError as why:
        raise PassportUnmintable("a fact is not a JSON value") from why
