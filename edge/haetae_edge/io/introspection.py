"""Makes the clients of the token services that gateway.yaml names, and lets policies reach what they remember."""

from __future__ import annotations

from contextlib import AsyncExitStack

from haetae_oidc import DpopNonces, IntrospectionPolicy
from haetae_oidc.io.introspection import IntrospectionClientSettings, Introspector
from haetae_policy.model import Subject

from haetae_edge.config.gateway import GatewayConfig, IntrospectionSettings
from haetae_edge.io.keys import GatewayKeys
from haetae_edge.io.policies import EdgePolicies
from haetae_edge.services import Introspection, Services


async def add_introspection(config: GatewayConfig, services: Services, stack: AsyncExitStack) -> None:
    """One client per entry of `introspection`. Raises SettingsInvalid for an endpoint that may not be asked."""
    if not config.introspection:
        return
    found: dict[str, Introspection] = {}
    for item in config.introspection:
        found[item.name] = await stack.enter_async_context(_introspector(item, services))
    services.introspection = found


def _introspector(item: IntrospectionSettings, services: Services) -> Introspector:
    return Introspector(
        IntrospectionPolicy(
            endpoint=item.uri,
            issuer=item.issuer,
            audience=item.audience,
            leeway=int(item.leeway),
            remember=item.remember,
            remember_inactive=item.remember_inactive,
        ),
        IntrospectionClientSettings(
            client_id=item.client_id,
            client_secret=item.client_secret.value if item.client_secret is not None else "",
            seconds=item.timeout,
            max_calls=item.calls,
            remembered=item.remembered,
            loopback_http=True,
        ),
        clock=services.clock,
    )


def add_dpop_nonces(keys: GatewayKeys | None, services: Services) -> None:
    """Nonces for proofs, by a key that all workers of all machines derive from the root key."""
    if keys is not None:
        services.dpop_nonces = DpopNonces(keys.dpop_nonce_key())


def forget_tokens_on_policy(policies: EdgePolicies, services: Services) -> None:
    """A policy on a user or an OAuth client takes effect on remembered answers about their tokens."""
    introspection, tokens = services.introspection, services.tokens

    def forget(subject: Subject) -> None:
        for name in (subject.user, subject.client):
            if name is None:
                continue
            for service in (introspection or {}).values():
                service.forget_user(name)
            if tokens is not None:
                tokens.forget_user(name)

    policies.on_subject(forget)
