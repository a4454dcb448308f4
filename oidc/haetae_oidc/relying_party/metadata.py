"""What a provider says of itself (OpenID Connect Discovery 1.0 sections 3 and 4, RFC 8414, RFC 9207).

Rules kept: the document's `issuer` is exactly the configured one, or the document is another provider's (section 4.3);
required members are there; every address is https (loopback apart, when asked for); what we rely on (code flow, S256,
our signature algorithms and client authentication) is offered, as far as the document says.

Not done here: fetching the document (`io/provider.py`) and the keys (`io/jwks.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwks import check_jwks_url
from haetae_crypto.strict_json import read_json_object

from haetae_oidc.errors import ProviderUnavailable
from haetae_oidc.relying_party.settings import ProviderSettings

MAX_METADATA_BYTES: Final = 64 * 1024
_MAX_URL: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderMetadata:
    """The checked part of a discovery document. `iss_in_answers`: RFC 9207 section 3."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    revocation_endpoint: str | None
    iss_in_answers: bool


def discovery_url(issuer: str) -> str:
    """Where the document of an issuer is (Discovery section 4)."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


def read_metadata(body: bytes, *, settings: ProviderSettings) -> ProviderMetadata:
    """The metadata written in `body`. Raises ProviderUnavailable for a document outside the rules above."""
    try:
        document = read_json_object(body, max_bytes=MAX_METADATA_BYTES)
    except ValueError as why:
        raise ProviderUnavailable("discovery document is not a bounded, unambiguous JSON object") from why
    if document.get("issuer") != settings.issuer:
        raise ProviderUnavailable("discovery document is of another issuer")
    _words(document, "subject_types_supported", required=True)
    _offers(document, "response_types_supported", frozenset({"code"}), required=True)
    _offers(document, "id_token_signing_alg_values_supported", settings.algorithms, required=True)
    _offers(document, "code_challenge_methods_supported", frozenset({"S256"}))
    _offers(document, "token_endpoint_auth_methods_supported", frozenset({settings.client_auth}))
    iss_in_answers = document.get("authorization_response_iss_parameter_supported", False)
    if not isinstance(iss_in_answers, bool):
        raise ProviderUnavailable("authorization_response_iss_parameter_supported is not a boolean")
    http = settings.loopback_http
    return ProviderMetadata(
        issuer=settings.issuer,
        authorization_endpoint=_url(document, "authorization_endpoint", http=http),
        token_endpoint=_url(document, "token_endpoint", http=http),
        jwks_uri=_url(document, "jwks_uri", http=http),
        userinfo_endpoint=_optional_url(document, "userinfo_endpoint", http=http),
        end_session_endpoint=_optional_url(document, "end_session_endpoint", http=http),
        revocation_endpoint=_optional_url(document, "revocation_endpoint", http=http),
        iss_in_answers=iss_in_answers,
    )


def _url(document: Mapping[str, object], name: str, *, http: bool) -> str:
    value = document.get(name)
    if not isinstance(value, str) or len(value) > _MAX_URL:
        raise ProviderUnavailable(f"{name} is missing or not an address")
    try:
        return check_jwks_url(value, loopback_http=http)
    except KeyFormatInvalid as why:
        raise ProviderUnavailable(f"{name} is not an https address") from why


def _optional_url(document: Mapping[str, object], name: str, *, http: bool) -> str | None:
    return _url(document, name, http=http) if document.get(name) is not None else None


def _words(document: Mapping[str, object], name: str, *, required: bool = False) -> list[str] | None:
    value = document.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
        raise ProviderUnavailable(f"{name} is missing or not a list of strings")
    return value


def _offers(document: Mapping[str, object], name: str, wanted: frozenset[str], *, required: bool = False) -> None:
    offered = _words(document, name, required=required)
    if offered is not None and wanted.isdisjoint(offered):
        raise ProviderUnavailable(f"{name} has nothing that we use")
