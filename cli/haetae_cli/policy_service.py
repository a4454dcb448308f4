"""The policy API of the local stack: how it is started, and the development key that lets a terminal use it.

Rules kept: the key lives in the state directory, which only its owner can enter; tokens name the person at the
terminal and last two minutes; what a production issuer would sign looks the same.
"""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import orjson
from haetae_crypto.jws import sign_compact
from haetae_crypto.signing_keys import SigningKey

from haetae_cli.errors import StateInvalid
from haetae_cli.state import StateDirectory

TOKEN_ISSUER = "haetae-local-stack"  # noqa: S105  # a name
AUDIENCE = "haetae-policy-api"
LOCAL_GROUP = "local-administrators"
TOKEN_SECONDS = 120
_SETTINGS = f"groups: {{{LOCAL_GROUP}: admin, staff: viewer, fraud-analysts: analyst, approvers: approver}}\n"


@dataclass(frozen=True, slots=True)
class DevelopmentKey:
    """The key that signs terminals in to the policy API of one local stack."""

    key: SigningKey

    @classmethod
    def of(cls, state: StateDirectory) -> "DevelopmentKey":
        """The key of a state directory, made when there is none; raises StateInvalid."""
        kept = state.secret(_file(state, "policy-api-key"), secrets.token_hex(32))
        try:
            return cls(SigningKey.from_seed(bytes.fromhex(kept)))
        except ValueError as error:
            raise StateInvalid(f"{_file(state, 'policy-api-key')} holds no key; remove it") from error

    def token(self, person: str, *, now: float, token_id: str) -> str:
        """An access token (RFC 9068) for the person at the terminal; `now` is Unix seconds."""
        claims = {
            "iss": TOKEN_ISSUER,
            "aud": AUDIENCE,
            "sub": person,
            "client_id": "haetae-cli",
            "jti": token_id,
            "iat": int(now),
            "exp": int(now) + TOKEN_SECONDS,
            "scope": "policies:staff",
            "groups": [LOCAL_GROUP],
        }
        return sign_compact(orjson.dumps(claims), key=self.key, typ="at+jwt")


def terminal_token(state: StateDirectory, person: str) -> str:
    """A fresh token for `person`."""
    return DevelopmentKey.of(state).token(person, now=time.time(), token_id=secrets.token_hex(16))


def policy_api_words(
    state: StateDirectory, *, listen: str, issuer: str | None, jwks_url: str | None, protected: Path | None = None
) -> list[str]:
    """The arguments of `haetae policy-api` in a local stack; writes the files they name."""
    public = {**DevelopmentKey.of(state).key.public.to_dict(), "alg": "EdDSA", "use": "sig"}
    jwks, settings = _file(state, "policy-api-jwks.json"), _file(state, "policy-api.yaml")
    state.write(jwks, orjson.dumps({"keys": [public]}))
    state.write(settings, _SETTINGS.encode())
    words = ["--listen", listen, "--settings", str(settings), "--loopback-http", "--volatile-store"]
    words += ["--token-issuer", TOKEN_ISSUER, "--token-jwks", str(jwks)]
    if protected is not None:
        words += ["--protected", str(protected)]
    if issuer is not None and jwks_url is not None:
        words += ["--passport-issuer", issuer, "--passport-jwks-url", jwks_url]
    return words


def _file(state: StateDirectory, name: str) -> Path:
    return state.path / name
