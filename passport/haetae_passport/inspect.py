"""Taking a Passport apart for a person: what it says, and what is wrong with it.

Rules kept: a verdict only comes from the real verifier; without keys or without an expected audience the
report says that nothing was verified, and what is shown is labelled as such.

Not done here: printing, fetching keys, command-line arguments.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson
from haetae_crypto.compact_jwt import UnverifiedJwt, read_unverified_jwt
from haetae_crypto.errors import JwsInvalid
from haetae_crypto.jwks import JwkSet

from haetae_passport.claims import Passport
from haetae_passport.errors import PassportInvalid
from haetae_passport.verifier import MAX_PASSPORT_CHARS, PassportPolicy, PassportVerifier

_YEAR_10000: Final = 253_402_300_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a token says and whether it may be believed.

    `passport` is set only when everything was verified; otherwise `problem` is the first rule that failed, or
    says that nothing was given to verify with. Header and claims are None when the text is no token at all.
    """

    unverified_header: Mapping[str, object] | None
    unverified_claims: Mapping[str, object] | None
    passport: Passport | None
    problem: str | None
    now: float

    def lines(self) -> list[str]:
        """The report, line by line, for a terminal. Control characters in claims are escaped by JSON."""
        if self.passport is not None:
            verdict = "valid: signature, issuer, audience and times hold"
        else:
            verdict = f"NOT VERIFIED ({self.problem}); believe nothing below"
        report = [f"verdict  {verdict}"]
        if self.unverified_header is not None:
            report.append(f"header   {_json(self.unverified_header)}")
        for name, value in (self.unverified_claims or {}).items():
            report.append(f"{_word(name):8} {_json(value)}{self._when(name, value)}")
        return report

    def _when(self, name: str, value: object) -> str:
        if name not in ("iat", "exp") or type(value) is not int or not 0 <= value < _YEAR_10000:
            return ""
        distance = round(value - self.now)
        relation = f"in {distance} s" if distance >= 0 else f"{-distance} s ago"
        return f"  ({datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%SZ}, {relation})"


def inspect_passport(
    token: str, *, now: float, keys: JwkSet | None = None, policy: PassportPolicy | None = None
) -> Inspection:
    """Take `token` apart and, given `keys` and `policy`, verify it at `now` (Unix seconds). Raises nothing.

    A leading `X-Passport:` and spaces around are allowed, for what people paste.
    """
    name, colon, rest = token.partition(":")
    text = (rest if colon and name.strip().lower() == "x-passport" else token).strip()
    try:
        jwt = read_unverified_jwt(text, max_chars=MAX_PASSPORT_CHARS)
    except JwsInvalid as why:
        return _inspection(None, None, f"malformed: {why}", now)
    claims = _claims(jwt)
    if keys is None or policy is None:
        return _inspection(jwt, claims, "no keys or no policy given", now)
    try:
        passport = PassportVerifier(policy).verify(text, keys=keys, now=now)
    except PassportInvalid as why:
        return _inspection(jwt, claims, why.reason, now)
    return _inspection(jwt, claims, None, now, passport)


def _inspection(
    jwt: UnverifiedJwt | None,
    claims: Mapping[str, object] | None,
    problem: str | None,
    now: float,
    passport: Passport | None = None,
) -> Inspection:
    return Inspection(
        unverified_header=None if jwt is None else jwt.unverified_header.members,
        unverified_claims=claims,
        passport=passport,
        problem=problem,
        now=now,
    )


def _claims(jwt: UnverifiedJwt) -> Mapping[str, object] | None:
    try:
        return jwt.read_unverified_claims()
    except JwsInvalid:
        return None


def _json(value: object) -> str:
    return _word(orjson.dumps(value).decode("utf-8"))


def _word(text: str) -> str:
    # A terminal may act on controls beyond those that JSON escapes, and on direction marks.
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
