"""Header fields as raw byte pairs: what is dropped at a hop, what identity headers look like, how they are written.

Fields are kept as received, in order, names in lower case: no second parse, no re-encoding, nothing that a writer
could silently repair (a byte above 0x7f never gets this far). Names are compared with `-`, `_`, `.` and every other
mark as one letter wherever a header carries identity, because servers behind us may map them to the same variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

#: RFC 9110 section 7.6.1, and the framing that every hop writes anew.
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"close",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-authentication-info",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})

_EVENTS: Final = b"text/event-stream"

#: Written by this gateway from what it knows; inbound copies never pass (RFC 7239 section 8.1).
FORWARDED: Final = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-prefix",
        b"x-forwarded-uri",
        b"x-forwarded-method",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"true-client-ip",
        b"x-original-url",
        b"x-original-method",
        b"x-rewrite-url",
        b"x-original-host",
        b"x-http-method-override",
        b"x-http-method",
        b"x-method-override",
        b"x-original-uri",
        b"x-accel-redirect",
        b"x-sendfile",
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"x-originating-ip",
        b"x-remote-ip",
        b"x-remote-addr",
        b"x-envoy-external-address",
        b"x-envoy-original-path",
        b"x-envoy-internal",
        b"proxy",  # CGI makes HTTP_PROXY of it
    }
)

#: Statements about who is calling that only a gateway may make.
IDENTITY: Final = frozenset(
    {
        b"x-passport",
        b"x-forwarded-client-cert",
        b"client-cert",
        b"client-cert-chain",
        b"x-forwarded-user",
        b"x-forwarded-email",
        b"x-forwarded-groups",
        b"x-forwarded-preferred-username",
        b"x-forwarded-access-token",
        b"x-auth-request-user",
        b"x-auth-request-email",
        b"x-auth-request-groups",
        b"x-auth-request-preferred-username",
        b"x-auth-request-access-token",
        b"x-remote-user",
        b"x-remote-email",
        b"x-remote-name",
        b"x-remote-groups",
        b"remote-user",
        b"remote-email",
        b"remote-name",
        b"remote-groups",
        b"x-webauth-user",
        b"x-webauth-name",
        b"x-webauth-email",
        b"x-webauth-groups",
        b"x-webauth-role",
        b"es-security-runas-user",
        b"x-ssl-client-cert",
        b"x-ssl-client-s-dn",
        b"x-ssl-client-dn",
        b"x-ssl-client-verify",
        b"x-ssl-client-subject-dn",
        b"ssl-client-cert",
        b"ssl-client-verify",
        b"ssl-client-s-dn",
        b"ssl-client-subject-dn",
        b"x-client-cert",
        b"x-client-dn",
        b"x-client-verify",
        b"x-forwarded-tls-client-cert",
        b"x-forwarded-tls-client-cert-info",
        b"x-arr-clientcert",
        b"x-amzn-mtls-clientcert",
        b"x-amzn-mtls-clientcert-leaf",
        b"x-amzn-mtls-clientcert-subject",
        b"x-amzn-mtls-clientcert-issuer",
        b"x-amzn-mtls-clientcert-serial-number",
        b"x-amzn-oidc-data",
        b"x-amzn-oidc-identity",
        b"x-amzn-oidc-accesstoken",
        b"x-goog-iap-jwt-assertion",
        b"x-goog-authenticated-user-email",
        b"x-goog-authenticated-user-id",
        b"x-ms-client-principal",
        b"x-ms-client-principal-id",
        b"x-ms-client-principal-name",
        b"x-user-id",
        b"x-user-name",
        b"x-user-email",
        b"x-user-roles",
        b"x-authenticated-user",
        b"x-authenticated-userid",
        b"x-authenticated-scope",
        b"x-consumer-id",
        b"x-consumer-username",
        b"x-consumer-custom-id",
        b"x-credential-identifier",
        b"x-authentik-username",
        b"x-authentik-email",
        b"x-authentik-name",
        b"x-authentik-groups",
        b"x-authentik-uid",
        b"x-authentik-jwt",
        b"x-pomerium-jwt-assertion",
        b"cf-access-jwt-assertion",
        b"cf-access-authenticated-user-email",
        b"x-endpoint-api-userinfo",
        b"x-apigateway-api-userinfo",
        b"x-userinfo",
    }
)

#: What a gateway states of a request; in an answer the client could take it for the gateway's word.
_GATEWAYS_OWN: Final = FORWARDED | IDENTITY
_OUR_FAMILY: Final = b"haetae-"
_NEVER_FORWARDED: Final = HOP_BY_HOP | FORWARDED | IDENTITY | {b"expect", b"content-length", b"host"}

_COMMON_OPTIONS: Final[dict[tuple[bytes, ...], frozenset[bytes]]] = {
    (): frozenset(),
    (b"keep-alive",): frozenset({b"keep-alive"}),
    (b"close",): frozenset({b"close"}),
}

#: Writes every letter that servers may take for `-` as `-`: CGI and what grew from it make one variable of names that
#: differ in any mark (RFC 3875 section 4.1.18), so all marks of a token (RFC 9110 section 5.6.2) are one.
_MARKS: Final = b"!#$%&'*+.^_`|~"
FOLD: Final = bytes.maketrans(_MARKS, b"-" * len(_MARKS))
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e]*")


def is_token(name: bytes) -> bool:
    """Whether `name` is a field name (RFC 9110 section 5.1)."""
    return _TOKEN.fullmatch(name) is not None


def is_safe_value(value: bytes) -> bool:
    """Whether `value` is visible ASCII, spaces and tabs: what passes unchanged through every parser we know."""
    return _VALUE.fullmatch(value) is not None


def connection_options(values: Iterable[bytes]) -> frozenset[bytes]:
    """The lower-case options of all `Connection` fields (RFC 9110 section 7.6.1)."""
    values = tuple(values)
    if values in _COMMON_OPTIONS:
        return _COMMON_OPTIONS[values]
    return frozenset(
        option.strip(b" \t").lower() for value in values for option in value.split(b",") if option.strip(b" \t")
    )


def folded(name: bytes) -> bytes:
    """A lower-case field name with every letter that servers may take for `-` written so."""
    return name.translate(FOLD)


def forwardable(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The fields of a request that go on to the upstream.

    Leaves out hop-by-hop fields, framing, `Host`, and every inbound copy of what the gateway states itself, in any
    spelling. What `Connection` names beside hop-by-hop fields was refused when the request was read.
    """
    return [field for field in fields if field[0].translate(FOLD) not in _NEVER_FORWARDED]


def is_gateways_own(name: bytes) -> bool:
    """Whether a field of an answer would speak for a gateway: identity, forwarding, `haetae-*`, in any spelling."""
    plain = folded(name)
    return plain in _GATEWAYS_OWN or plain.startswith(_OUR_FAMILY)


def write_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header lines, each ending in CRLF, in order."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def is_event_stream(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether these are the fields of an answer that is a stream of events."""
    return any(name == b"content-type" and value.lower().startswith(_EVENTS) for name, value in fields)
