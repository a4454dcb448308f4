"""Kibana: acts as a service user that runs as the person (`es-security-runas-user`), which Elasticsearch checks.

The service user's `Authorization` is set by the route (`AddRequestHeader`). Kibana passes both on to Elasticsearch when
`elasticsearch.requestHeadersWhitelist` names them. Polling that Kibana marks as its own is no activity.
"""

from __future__ import annotations

from haetae_edge.staff.presets.elasticsearch import run_as
from haetae_edge.staff.presets.model import IdleExempt, Preset

KIBANA = Preset(
    name="kibana",
    identity="headers",
    headers=run_as,
    idle_exempt=(IdleExempt(header="kbn-system-request"), IdleExempt(header="kbn-system-api")),
    api_paths=("/api/**", "/internal/**"),
    no_return=("/login", "/logout", "/security/logged_out"),
)
