"""``haetae policy-api``: the service that makes, guards, explains and audits block policies."""

import argparse
import gc
import logging
import os
import sys
from pathlib import Path

import uvloop
import yaml
from haetae_policy.protected import Protected
from haetae_policy_api.errors import SettingsInvalid
from haetae_policy_api.io.server import Options, serve
from haetae_policy_api.settings import Settings, parse_settings

from haetae_cli.errors import InputInvalid
from haetae_cli.protected import protected_argument, read_protected

MAX_SETTINGS_BYTES = 256 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--listen", default="127.0.0.1:8107", metavar="HOST:PORT", help="default: 127.0.0.1:8107")
    parser.add_argument("--redis", metavar="URL", help="the store (default: $HAETAE_REDIS_URL)")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="limits, groups, services (YAML)")
    protected_argument(parser)
    parser.add_argument("--passport-issuer", metavar="NAME", help="whose Passports sign people and services in")
    parser.add_argument("--passport-jwks-url", metavar="URL", help="where that gateway publishes its keys")
    parser.add_argument("--token-issuer", metavar="NAME", help="whose access tokens sign machines in")
    parser.add_argument("--token-jwks", type=Path, metavar="FILE", help="that issuer's public keys")
    parser.add_argument("--reference-key", type=Path, metavar="FILE", help="32 bytes; checks block references")
    parser.add_argument("--loopback-http", action="store_true", help="fetch keys from this machine without TLS")
    parser.add_argument(
        "--volatile-store", action="store_true", help="start although the store would forget policies in a restart"
    )
    parser.add_argument(
        "--insecure-development", action="store_true", help="everybody is an administrator; never in production"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until stopped."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    host, colon, port = args.listen.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise InputInvalid("--listen is written HOST:PORT")
    redis_url = args.redis or os.environ.get("HAETAE_REDIS_URL")
    if not redis_url:
        raise InputInvalid("name the store with --redis URL or HAETAE_REDIS_URL")
    if args.insecure_development:
        print("WARNING: --insecure-development lets everybody who reaches this port block anybody", file=sys.stderr)
    options = Options(
        host=host.strip("[]"),
        port=int(port),
        redis_url=redis_url,
        settings=_settings(args.settings, read_protected(args.protected)),
        passport_issuer=args.passport_issuer,
        passport_jwks_url=args.passport_jwks_url,
        token_issuer=args.token_issuer,
        token_jwks=args.token_jwks,
        reference_key=_read(args.reference_key, "--reference-key") if args.reference_key else None,
        loopback_http=args.loopback_http,
        volatile_store=args.volatile_store,
        development=args.insecure_development,
    )
    try:
        # What a batch makes lives until it is stored; looking for garbage in it meanwhile is wasted time.
        gc.set_threshold(50_000, 20, 100)
        uvloop.run(serve(options))
    except (SettingsInvalid, ValueError) as error:
        raise InputInvalid(str(error)) from error
    return 0


def _settings(path: Path | None, protected: Protected) -> Settings:
    if path is None:
        return Settings(protected=protected)
    try:
        return parse_settings(yaml.safe_load(_read(path, "--settings")), protected=protected)
    except yaml.YAMLError as error:
        raise InputInvalid(f"{path} is not YAML") from error
    except SettingsInvalid as error:
        raise InputInvalid(f"{path}: {error}") from error


def _read(path: Path, option: str) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputInvalid(f"{option}: cannot read {path}: {error.strerror}") from error
    if len(raw) > MAX_SETTINGS_BYTES:
        raise InputInvalid(f"{option}: {path} is too large")
    return raw
