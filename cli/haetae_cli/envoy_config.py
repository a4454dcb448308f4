"""Envoy in front of a gateway: the configuration that makes its `X-Forwarded-Client-Cert` worth believing.

Rules kept: clients must have a certificate of the authority; whatever they send of that header is replaced
(SANITIZE_SET); the certificate itself goes along (`cert: true`) and no names, which Envoy writes unescaped; paths are
refused or normalised as the gateway would. Pure: paths and addresses in, a document out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KIND = "type.googleapis.com/envoy.extensions."
_MANAGER = _KIND + "filters.network.http_connection_manager.v3.HttpConnectionManager"


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What is put in front of what. Addresses are host and port; files are PEM.

    `upstream_ca`, where the gateway itself speaks TLS, is what its certificate is checked against, for the DNS name
    or address of `upstream`. `header_kilobytes` and `header_count` are no more than the gateway takes.
    """

    listen: tuple[str, int]
    upstream: tuple[str, int]
    certificate: Path
    key: Path
    client_ca: Path
    upstream_ca: Path | None = None
    header_kilobytes: int = 32
    header_count: int = 100
    require_certificate: bool = True
    json_format: bool = False


def envoy_config(front: Front) -> dict[str, Any]:
    """A bootstrap document; as JSON it is also YAML."""
    listener = {
        "name": "front",
        "address": _address(*front.listen),
        "per_connection_buffer_limit_bytes": 65_536,
        "filter_chains": [
            {
                "transport_socket": _downstream_tls(front),
                "transport_socket_connect_timeout": "10s",
                "filters": [{"name": "http", "typed_config": _manager(front)}],
            }
        ],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [_cluster(front)]}}


def _downstream_tls(front: Front) -> dict[str, Any]:
    return {
        "name": "tls",
        "typed_config": {
            "@type": _KIND + "transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": front.require_certificate,
            # A resumed session would not be checked again.
            "disable_stateless_session_resumption": True,
            "disable_stateful_session_resumption": True,
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificates": [{"certificate_chain": _file(front.certificate), "private_key": _file(front.key)}],
                "validation_context": {"trusted_ca": _file(front.client_ca)},
            },
        },
    }


def _manager(front: Front) -> dict[str, Any]:
    manager: dict[str, Any] = {
        "@type": _MANAGER,
        "stat_prefix": "front",
        "codec_type": "AUTO",
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"cert": True},
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {
            "headers_with_underscores_action": "REJECT_REQUEST",
            "idle_timeout": "75s",
            "max_headers_count": front.header_count,
        },
        "max_request_headers_kb": front.header_kilobytes,
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "300s",
        "http2_protocol_options": {"max_concurrent_streams": 100},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_filters": [{"name": "router", "typed_config": {"@type": _KIND + "filters.http.router.v3.Router"}}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "gateway",
                    "domains": ["*"],
                    # The gateway has the deadlines of each route; streams have none.
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "gateway", "timeout": "0s"}}],
                }
            ]
        },
    }
    if front.json_format:
        manager["set_current_client_cert_details"]["format"] = "JSON"
    return manager


def _cluster(front: Front) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(*front.upstream)}}
    cluster: dict[str, Any] = {
        "name": "gateway",
        "type": "STRICT_DNS",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": "gateway", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if front.upstream_ca is not None:
        host = front.upstream[0]
        kind = "IP_ADDRESS" if host.replace(".", "").isdigit() or ":" in host else "DNS"
        cluster["transport_socket"] = {
            "name": "tls",
            "typed_config": {
                "@type": _KIND + "transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": {
                    "validation_context": {
                        "trusted_ca": _file(front.upstream_ca),
                        "match_typed_subject_alt_names": [{"san_type": kind, "matcher": {"exact": host}}],
                    }
                },
            },
        }
    return cluster


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _file(path: Path) -> dict[str, str]:
    return {"filename": str(path.absolute())}
