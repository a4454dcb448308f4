"""What the stack tells its OpenID provider and its gateways so that staff can sign in.

Rules kept: redirect addresses are written out, one by one, for the ports of this stack; secrets are made from one
random secret of the state directory and travel in private files and the environment only.
"""

import hashlib
import hmac
from collections.abc import Mapping

import orjson

INTERNAL_GATEWAY = "internal"
#: The gateway's name in Passports for tools.
INTERNAL_ISSUER = "haetae-internal"
DASHBOARD_AUDIENCE = "haetae-demo-dashboard"
#: First words of the tools' hosts, as in config/internal.
TOOLS = ("console", "dashboard", "grafana", "home", "kibana", "pinpoint", "vault")
_API = "haetae-demo-api"
#: Where config/web expects pages to come from; their client is sent back there.
WEB_ORIGIN = "http://localhost:3000"
_STAFF_SCOPES = ["openid", "profile", "email", "groups", "offline_access"]


def client_secret(root: str, client_id: str) -> str:
    """The secret of one client."""
    return hmac.new(root.encode(), f"client {client_id}".encode(), hashlib.sha256).hexdigest()


def tool_origin(tool: str, port: int) -> str:
    """The address of one tool in a browser."""
    return f"http://{tool}.localhost:{port}"


def clients_file(root: str, *, internal_port: int | None) -> bytes:
    """The provider's file of clients. ``internal_port`` None: this stack has no Internal gateway."""
    clients = [
        _client(root, "gateway", introspects="yes"),
        _client(root, "partner-a", grants=["client_credentials"], scopes=["partner.read"], access_token="jwt"),  # noqa: S106 - a kind
        _client(root, "ssr-node", grants=["client_credentials"], scopes=["accounts.read", "transfers.write"]),
        _pages_client(root),
    ]
    if internal_port is not None:
        clients.append(_browser_client(root, "haetae-internal", TOOLS, internal_port))
        clients.append(_browser_client(root, "haetae-console", ("console",), internal_port))
    return orjson.dumps({"clients": clients})


def gateway_environment(root: str, *, provider: str, dashboard: str, internal_port: int | None) -> dict[str, str]:
    """What gateways read: where the provider and the tools are, and their own secrets."""
    known = {
        "OIDC_ISSUER": provider,
        "OIDC_JWKS_URI": f"{provider}/jwks.json",
        "OIDC_INTROSPECTION_URI": f"{provider}/introspect",
        "OIDC_CLIENT_SECRET": client_secret(root, "haetae-internal"),
        "INTROSPECTION_CLIENT_ID": "gateway",
        "INTROSPECTION_CLIENT_SECRET": client_secret(root, "gateway"),
        "DASHBOARD_URI": dashboard,
        "VAULT_URI": dashboard,
        "INTERNAL_PASSPORT_ISSUER": INTERNAL_ISSUER,
    }
    return known if internal_port is None else {**known, "INTERNAL_PORT": str(internal_port)}


def _client(root: str, client_id: str, **members: object) -> Mapping[str, object]:
    return {"client_id": client_id, "client_secret": client_secret(root, client_id), "audience": _API, **members}


def _pages_client(root: str) -> Mapping[str, object]:
    """Whoever serves the pages of the Web gateway: people sign in, and the pages get short tokens for its API."""
    return _client(
        root,
        "pages",
        grants=["authorization_code", "refresh_token"],
        scopes=["openid", "profile", "accounts.read", "transfers.write"],
        access_token="jwt",  # noqa: S106 - a kind
        redirect_uris=[f"{WEB_ORIGIN}/callback"],
    )


def _browser_client(root: str, client_id: str, tools: tuple[str, ...], port: int) -> Mapping[str, object]:
    origins = [tool_origin(tool, port) for tool in tools]
    return _client(
        root,
        client_id,
        grants=["authorization_code", "refresh_token"],
        scopes=_STAFF_SCOPES,
        redirect_uris=[f"{origin}/.haetae/callback" for origin in origins],
        post_logout_redirect_uris=[f"{origin}/.haetae/signed-out" for origin in origins],
        back_channel_logout_uri=f"http://127.0.0.1:{port}/.haetae/back-channel-logout",
    )
