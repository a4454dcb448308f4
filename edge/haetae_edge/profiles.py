"""What each kind of gateway demands of its routes: one row per profile.

`must`: groups of filter names, one of each group has to be in every route. `must_not`: filters that a route
may not have. `defaults`: filters every route gets, in their shortest form, unless it or `default-filters`
names them. `checks`: what it demands of their arguments. A configuration that breaks its profile does not load.
"""

from __future__ import annotations

from dataclasses import dataclass

from haetae_edge.profile_checks import (
    Check,
    certificate_is_required,
    reuse_is_checked,
    scopes_are_asked,
    token_is_required,
    tokens_are_checked_once,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One row."""

    name: str
    purpose: str
    must: tuple[tuple[str, ...], ...]
    must_not: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ("Trace",)
    checks: tuple[Check, ...] = ()


_ROWS = (
    Profile(
        name="app",
        purpose="mobile apps",
        must=(("AppChannel",), ("Block",), ("Passport",)),
        must_not=("OidcSession", "MtlsIdentity", "PartnerTls", "TokenRelay"),
    ),
    Profile(
        name="internal",
        purpose="staff reaching tools such as Kibana, Grafana, Pinpoint and dashboards",
        must=(("OidcSession",), ("Block",)),
        must_not=("AppChannel", "VerifyJwt", "Introspect", "PartnerTls", "TokenRelay"),
    ),
    Profile(
        name="web",
        purpose="browsers",
        must=(("VerifyJwt",), ("Cors",), ("Block",), ("Passport",)),
        must_not=("AppChannel", "Introspect", "MtlsIdentity", "OidcSession", "PartnerTls", "TokenRelay"),
        defaults=("Csrf", "Trace"),
        checks=(token_is_required, reuse_is_checked),
    ),
    Profile(
        name="ssr",
        purpose="servers that render pages for their users",
        must=(("VerifyJwt", "Introspect"), ("Block",), ("Passport",)),
        must_not=("AppChannel", "Cors", "Csrf", "OidcSession", "PartnerTls", "TokenRelay"),
        checks=(token_is_required, tokens_are_checked_once, scopes_are_asked),
    ),
    Profile(
        name="partner",
        purpose="other companies",
        must=(("VerifyJwt", "Introspect"), ("Block",), ("RequestRateLimiter",)),
        must_not=("AppChannel", "Cors", "Csrf", "OidcSession", "PartnerTls", "TokenRelay"),
        checks=(token_is_required, tokens_are_checked_once, scopes_are_asked),
    ),
    Profile(
        name="secure",
        purpose="services and partners that have a certificate",
        must=(("MtlsIdentity",), ("Block",), ("Passport",)),
        must_not=("AppChannel", "Cors", "Csrf", "Introspect", "OidcSession", "PartnerTls", "TokenRelay", "VerifyJwt"),
        checks=(certificate_is_required,),
    ),
    Profile(
        name="public",
        purpose="what anybody may call before being known, such as a log-in",
        must=(("Block",), ("Sanitize",)),
        must_not=(
            "AppChannel",
            "Introspect",
            "MtlsIdentity",
            "OidcSession",
            "PartnerTls",
            "Passport",
            "TokenRelay",
            "VerifyJwt",
        ),
    ),
    Profile(
        name="plain",
        purpose="benchmarks and trusted networks: nobody is authenticated, and the gateway says so when it starts",
        must=(),
    ),
)

PROFILES: dict[str, Profile] = {row.name: row for row in _ROWS}
