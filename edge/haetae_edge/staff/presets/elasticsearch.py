"""Elasticsearch: run-as. The name must be one of the native, file, LDAP or Active Directory realm, in plain ASCII.

The credentials of the user that may run as others are set by the route (`AddRequestHeader=Authorization, …`). Nothing
here is a page.
"""

from __future__ import annotations

from haetae_edge.exchange import Fields
from haetae_edge.staff.presets.model import Person, Preset, exact


def run_as(person: Person, name: str) -> Fields:
    """The field by which Elasticsearch knows the person. Raises NameUnusable."""
    return [(b"es-security-runas-user", exact(name))]


ELASTICSEARCH = Preset(name="elasticsearch", identity="headers", headers=run_as, api_paths=("/**",))
