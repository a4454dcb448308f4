"""Redeeming the code of a login and reading who signed in.

Rules kept: nothing of an answer is believed before its ID token was verified in full; UserInfo must be about the same
person.

Not done here: finding the login, storing the session (`io/staff_sign_in.py`).
"""

import asyncio

from haetae_crypto.jwks import JwkSet

from haetae_oidc.errors import LoginInvalid, TokenInvalid, TokenRefused
from haetae_oidc.io.provider import Provider
from haetae_oidc.relying_party.id_token import Asked, IdToken, verify_id_token
from haetae_oidc.relying_party.token_answer import TokenAnswer
from haetae_oidc.session.model import StaffSession
from haetae_oidc.session.pending import PendingLogin
from haetae_oidc.session.person import read_person
from haetae_oidc.session.record import SessionRecord, Tokens
from haetae_oidc.session.settings import SessionSettings


async def redeem_login(
    provider: Provider, code: str, login: PendingLogin, *, settings: SessionSettings, name: str, now: float
) -> SessionRecord:
    """The session that a code is worth, under its public `name`. Raises LoginInvalid, ProviderUnavailable."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        answer = await provider.redeem(code=code, verifier=login.verifier, redirect_uri=login.redirect_uri, now=now)
    except TokenRefused as why:
        raise LoginInvalid(f"code-refused-{why.error}") from why
    if answer.id_token is None:
        raise LoginInvalid("id-token-missing")
    verified = await _verify(provider, answer, answer.id_token, login, now=now + loop.time() - began)
    rules = provider.settings
    extra = None
    if rules.use_userinfo:
        extra = await provider.userinfo(answer.access_token, subject=verified.subject)
    person = read_person(verified.claims, extra, groups_claim=rules.groups_claim)
    created = int(now)
    session = StaffSession(
        id=name,
        issuer=verified.issuer,
        subject=verified.subject,
        name=person.name,
        email=person.email,
        username=person.username,
        groups=person.groups,
        claims=person.claims,
        acr=verified.acr,
        auth_time=verified.auth_time,
        amr=verified.amr,
        provider_sid=verified.sid,
        created=created,
        absolute_end=created + settings.absolute,
        idle_end=created + settings.idle,
    )
    tokens = Tokens(
        refresh_token=answer.refresh_token,
        access_token=answer.access_token,
        access_start=created,
        access_end=None if answer.expires_in is None else created + answer.expires_in,
        id_token=answer.id_token,
        nonce=login.nonce,
    )
    return SessionRecord(session=session, tokens=tokens)


async def _verify(provider: Provider, answer: TokenAnswer, token: str, login: PendingLogin, *, now: float) -> IdToken:
    asked = Asked(nonce=login.nonce, acr=login.acr, max_age=login.max_age)

    def check(keys: JwkSet) -> IdToken:
        return verify_id_token(
            token,
            settings=provider.settings,
            keys=keys,
            asked=asked,
            access_token=answer.access_token,
            now=now,
        )

    try:
        return await provider.verify(check)
    except TokenInvalid as why:
        raise LoginInvalid(f"id-token-{why.reason}") from why
