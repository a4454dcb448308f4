"""``python -m haetae_demo dashboard``: arguments of the demo tools."""

import argparse

from aiohttp import web
from haetae_passport import PassportPolicy, PassportVerifier
from haetae_passport.io.gate import PassportGate
from haetae_passport.io.jwks import PassportKeys

from haetae_demo.dashboard.io.service import ToolService
from haetae_demo.errors import WorldInvalid


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    known = parser.add_mutually_exclusive_group(required=True)
    known.add_argument("--passport-jwks-url", help="where the gateway publishes its keys")
    known.add_argument("--believe-headers", action="store_true", help="take X-Forwarded-User from anybody")
    parser.add_argument("--passport-issuer", help="the gateway's name in Passports")
    parser.add_argument("--audience", default="haetae-demo-dashboard", help="this service's name in Passports")


def dashboard_application(args: argparse.Namespace) -> web.Application:
    """The tools as ``args`` want them.

    Raises:
        WorldInvalid: an argument is missing.
    """
    if args.believe_headers:
        return ToolService(gate=None).application()
    if not args.passport_issuer:
        raise WorldInvalid("--passport-jwks-url needs --passport-issuer")
    policy = PassportPolicy(issuer=args.passport_issuer, audience=args.audience)
    keys = PassportKeys(args.passport_jwks_url, loopback_http=True)
    return ToolService(gate=PassportGate(verifier=PassportVerifier(policy), keys=keys)).application()
