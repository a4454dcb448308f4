"""What each kind of gateway demands of its routes: one row per profile.

`must`: groups of filter names, one of each group has to be in every route. `must_not`: filters that a route
may not have. `defaults`: filters every route gets, in their shortest form, unless it or `default-filters`
names them. A configuration that breaks its profile does not load.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One row."""

    name: str
    purpose: str
    must: tuple[tuple[str, ...], ...]
    must_not: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ("Trace",)


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
        name="plain",
        purpose="benchmarks and trusted networks: nobody is authenticated, and the gateway says so when it starts",
        must=(),
    ),
)

PROFILES: dict[str, Profile] = {row.name: row for row in _ROWS}
