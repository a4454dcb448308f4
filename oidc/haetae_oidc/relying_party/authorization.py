"""The way to the provider and back: authorization requests and their answers (OpenID Connect Core 3.1.2, RFC 9207).

Rules kept: code flow only, with PKCE S256 (RFC 7636), `state` and `nonce`; each parameter of an answer at most once
(RFC 6749 section 3.1); the issuer of the answer is compared when given, and required when the provider says it gives
it (RFC 9207 section 2.4).

Not done here: randomness (an argument), keeping the login's secrets (`session/pending.py`), redeeming codes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from haetae_oidc.errors import LoginInvalid
from haetae_oidc.relying_party.metadata import ProviderMetadata
from haetae_oidc.relying_party.settings import ProviderSettings

MAX_PARAMETER_CHARS: Final = 4096
MAX_PARAMETERS: Final = 32
_ONCE: Final = ("state", "code", "error", "error_description", "iss", "session_state", "response")
_WORD: Final = re.compile(r"[\x21-\x7e]+")
#: RFC 6749 section 4.1.2.1 and OpenID Connect Core 3.1.2.6; others are all the same to us, and never echoed.
_ERRORS: Final = frozenset(
    {
        "access_denied",
        "account_selection_required",
        "consent_required",
        "interaction_required",
        "invalid_request",
        "invalid_scope",
        "login_required",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unmet_authentication_requirements",
        "unsupported_response_type",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedAnswer:
    """An authorization answer as it came; `state` finds the login that it claims to belong to."""

    state: str = field(repr=False)
    code: str | None = field(repr=False)
    error: str | None
    iss: str | None


def authorization_url(
    *,
    settings: ProviderSettings,
    metadata: ProviderMetadata,
    redirect_uri: str,
    state: str,
    nonce: str,
    verifier: str,
    acr: Sequence[str] = (),
    max_age: int | None = None,
) -> str:
    """Where to send the browser. `verifier` has 43 to 128 unreserved characters (RFC 7636 section 4.1)."""
    extra: dict[str, str] = {
        "nonce": nonce,
        "code_challenge": create_s256_code_challenge(verifier),  # type: ignore[no-untyped-call]
        "code_challenge_method": "S256",
    }
    if acr:
        extra["acr_values"] = " ".join(acr)
    if max_age is not None:
        extra["max_age"] = str(max_age)
    if "offline_access" in settings.scopes:
        extra["prompt"] = "consent"  # Core section 11: without it the scope is to be ignored
    return str(
        prepare_grant_uri(
            metadata.authorization_endpoint,
            client_id=settings.client_id,
            response_type="code",
            redirect_uri=redirect_uri,
            scope=" ".join(settings.scopes),
            state=state,
            **extra,
        )
    )


def read_answer(params: Mapping[str, Sequence[str]]) -> UnverifiedAnswer:
    """The answer in the query. Raises LoginInvalid when it is none: repeated, missing or overlong parameters."""
    if len(params) > MAX_PARAMETERS:
        raise LoginInvalid("too-many-parameters")
    found: dict[str, str] = {}
    for name in _ONCE:
        values = params.get(name, ())
        if len(values) > 1:
            raise LoginInvalid("parameter-repeated")
        if values:
            if len(values[0]) > MAX_PARAMETER_CHARS:
                raise LoginInvalid("parameter-too-long")
            found[name] = values[0]
    if "response" in found:
        raise LoginInvalid("response-mode")  # a signed answer (JARM) that nobody asked for
    state, code, error = found.get("state", ""), found.get("code"), found.get("error")
    if _WORD.fullmatch(state) is None:
        raise LoginInvalid("state-missing")
    if (code is None) == (error is None):
        raise LoginInvalid("code-missing" if code is None else "code-and-error")
    if code is not None and _WORD.fullmatch(code) is None:
        raise LoginInvalid("code-malformed")
    return UnverifiedAnswer(state=state, code=code, error=error, iss=found.get("iss"))


def accept_answer(answer: UnverifiedAnswer, *, metadata: ProviderMetadata) -> str:
    """The code to redeem, after the answer's login was found. Raises LoginInvalid.

    A refusal by the provider is `provider-<error>`, for the errors of the standards, or `provider-other`.
    """
    if answer.iss is None:
        if metadata.iss_in_answers:
            raise LoginInvalid("iss-missing")
    elif answer.iss != metadata.issuer:
        raise LoginInvalid("iss-wrong")
    if answer.code is None:
        raise LoginInvalid(f"provider-{answer.error if answer.error in _ERRORS else 'other'}")
    return answer.code
