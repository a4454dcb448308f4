"""What a mobile app does before its first call: enrol its device key, then get a token for it.

Rules kept: the private key never leaves; every statement is fresh; answers are bounded and checked before
use. Time and randomness are arguments. The calls themselves are :mod:`haetae_demo.io.mobile`.
"""

from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
from haetae_crypto.jwk import PrivateJwk
from haetae_crypto.strict_json import read_json_object

from haetae_demo.assertions import ENROL_TYPE, TOKEN_REQUEST_TYPE, sign_statement
from haetae_demo.errors import CredentialsInvalid, NotFound, RequestInvalid, Unreachable
from haetae_demo.io.identity import AUDIENCE
from haetae_demo.io.issuer import GRANT

MAX_ANSWER_BYTES = 64 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledDevice:
    """The device's private key, the id the identity service gave its public half, and the device's own id."""

    keyid: str
    device_id: str
    user_id: str
    key: PrivateJwk


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGrant:
    """An access token and when it ends (Unix seconds)."""

    token: str
    expires: float


async def enrol(
    session: aiohttp.ClientSession,
    *,
    identity_url: str,
    code: str,
    key: PrivateJwk,
    now: float,
    jti: str,
    platform: str = "cli",
    app_version: str = "1.0.0",
    attestation: str = "basic",
) -> EnrolledDevice:
    """Enrol ``key`` for whoever the enrolment ``code`` belongs to.

    Args:
        session: the caller's HTTP session.
        identity_url: base URL of the identity service.
        code: the person's enrolment code.
        key: the device's key pair.
        now: Unix seconds.
        jti: fresh, 8 to 128 characters.
        platform: ``ios``, ``android`` or ``cli``.
        app_version: what the app calls its version.
        attestation: ``none``, ``basic`` or ``strong``.

    Raises:
        CredentialsInvalid: the code is not known.
        RequestInvalid: the service refused for another reason (its title is the text).
        Unreachable: no usable answer.
    """
    proof = sign_statement(key, statement_type=ENROL_TYPE, audience=AUDIENCE, now=now, jti=jti)
    device = {"platform": platform, "app_version": app_version, "attestation": attestation}
    body: dict[str, object] = {"public_key": dict(key.public.members), "device": device, "proof": proof}
    status, answer = await _exchange(
        session,
        "POST",
        f"{identity_url.rstrip('/')}/v1/devices",
        body=orjson.dumps(body),
        headers={"Authorization": f"Bearer {code}", "Content-Type": "application/json"},
    )
    if status == 401:
        raise CredentialsInvalid("the identity service does not know this enrolment code")
    if status != 201:
        raise RequestInvalid(f"enrolment was refused with {status}: {answer.get('title', 'no reason given')}")
    keyid, user_id, facts = answer.get("keyid"), answer.get("user_id"), answer.get("device")
    device_id = facts.get("id") if isinstance(facts, dict) else None
    if not isinstance(keyid, str) or not isinstance(user_id, str) or not isinstance(device_id, str):
        raise Unreachable("the identity service answered something else")
    return EnrolledDevice(keyid=keyid, device_id=device_id, user_id=user_id, key=key)


async def fetch_token(
    session: aiohttp.ClientSession,
    *,
    issuer_url: str,
    device: EnrolledDevice,
    now: float,
    jti: str,
    scope: str | None = None,
) -> TokenGrant:
    """An access token bound to the device's key.

    Args:
        session: the caller's HTTP session.
        issuer_url: the issuer, whose metadata says where tokens are given.
        device: who asks.
        now: Unix seconds.
        jti: fresh, 8 to 128 characters.
        scope: space-separated scopes, or None for all.

    Raises:
        NotFound: the issuer does not give this device a token (unknown or disabled).
        RequestInvalid: it refused for another reason.
        Unreachable: no usable answer.
    """
    issuer, endpoint = await _token_endpoint(session, issuer_url.rstrip("/"))
    assertion = sign_statement(
        device.key,
        statement_type=TOKEN_REQUEST_TYPE,
        audience=f"{issuer}/token",
        now=now,
        jti=jti,
        claims={"iss": device.keyid, "sub": device.keyid},
    )
    form = {"grant_type": GRANT, "assertion": assertion} | ({} if scope is None else {"scope": scope})
    status, answer = await _exchange(
        session,
        "POST",
        endpoint,
        body=urlencode(form).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    if status == 400 and answer.get("error") == "invalid_grant":
        raise NotFound(f"the issuer gives this device no token: {answer.get('error_description')}")
    if status != 200:
        raise RequestInvalid(f"the issuer refused with {status}: {answer.get('error')}")
    token, lifetime = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(token, str) or not isinstance(lifetime, int):
        raise Unreachable("the issuer answered something else")
    return TokenGrant(token=token, expires=now + lifetime)


async def _token_endpoint(session: aiohttp.ClientSession, issuer_url: str) -> tuple[str, str]:
    where = urlsplit(issuer_url)
    # RFC 8414 section 3.1: the well-known part goes between host and path.
    url = f"{where.scheme}://{where.netloc}/.well-known/oauth-authorization-server{where.path}"
    status, answer = await _exchange(session, "GET", url)
    endpoint = answer.get("token_endpoint")
    if status != 200 or not isinstance(endpoint, str):
        raise Unreachable("the issuer has no metadata")
    if answer.get("issuer") != issuer_url:
        # RFC 8414 section 3.3
        raise Unreachable("the issuer's metadata names another issuer")
    return issuer_url, endpoint


async def _exchange(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, object]]:
    try:
        async with session.request(
            method, url, data=body, headers=headers, allow_redirects=False, timeout=_TIMEOUT
        ) as answer:
            received = bytearray()
            async for chunk in answer.content.iter_chunked(MAX_ANSWER_BYTES):
                received += chunk
                if len(received) > MAX_ANSWER_BYTES:
                    raise Unreachable(f"{url} answered too much")
            return answer.status, read_json_object(bytes(received), max_bytes=MAX_ANSWER_BYTES)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unreachable(f"{url} does not answer") from error
    except ValueError as error:
        raise Unreachable(f"{url} answered something that is not JSON") from error
