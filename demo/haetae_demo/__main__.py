"""The demo services as programs: ``python -m haetae_demo identity|issuer|bank|provider|dashboard``.

Each listens on loopback, prints one line when it is ready, and ends with exit code 0 on SIGINT or SIGTERM.
Secrets come from files, never from arguments, which other users of the machine can see. This is the
composition root: only here are clocks, files and sockets put together.
"""

import argparse
import asyncio
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from aiohttp import web
from haetae_crypto.errors import KeyFormatInvalid
from haetae_passport import PassportPolicy, PassportVerifier
from haetae_passport.io.gate import PassportGate
from haetae_passport.io.jwks import PassportKeys

from haetae_demo.dashboard.io import program as dashboard
from haetae_demo.directory import Directory
from haetae_demo.errors import DemoError, WorldInvalid
from haetae_demo.io.bank import BankService
from haetae_demo.io.identity import IdentityService, load_state
from haetae_demo.io.issuer import IdentityClient, IssuerService
from haetae_demo.io.serving import bind, serve, until_stopped, url_of
from haetae_demo.issuer_keys import IssuerKeys
from haetae_demo.ledger import Ledger
from haetae_demo.provider.io import program as provider
from haetae_demo.tokens import TokenTerms
from haetae_demo.world import World, packaged_world, parse_world

API_AUDIENCE = "haetae-demo-api"
BANK_AUDIENCE = "haetae-demo-bank"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m haetae_demo", description="The world around the gateway.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    common.add_argument("--port", type=int, default=0, help="port (default: a free one)")
    common.add_argument("--world", type=Path, help="people and accounts (default: the packaged ones)")
    services = top.add_subparsers(dest="service", required=True)

    identity = services.add_parser("identity", parents=[common], help="devices, context, accounts")
    identity.add_argument("--service-token-file", type=Path, required=True, help="what gateways present")
    identity.add_argument("--state-file", type=Path, help="keep enrolments here (default: forget them)")

    issuer = services.add_parser("issuer", parents=[common], help="access tokens and their keys")
    issuer.add_argument("--service-token-file", type=Path, required=True, help="for the identity service")
    issuer.add_argument("--identity-url", required=True)
    issuer.add_argument("--audience", default=API_AUDIENCE, help="the resource tokens are for")
    issuer.add_argument("--lifetime", type=int, default=300, help="seconds a token lives (default: 300)")

    bank = services.add_parser("bank", parents=[common], help="accounts and transfers, behind the gateway")
    bank.add_argument("--passport-jwks-url", required=True, help="where the gateway publishes its keys")
    bank.add_argument("--passport-issuer", required=True, help="the gateway's name in Passports")
    bank.add_argument("--audience", default=BANK_AUDIENCE, help="this service's name in Passports")

    provider.arguments(services.add_parser("provider", parents=[common], help="OpenID provider, development only"))
    dashboard.arguments(services.add_parser("dashboard", parents=[common], help="tools of staff, behind the gateway"))
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one service until it is told to stop; 1 with one clear line when it cannot start."""
    args = parser().parse_args(arguments)
    try:
        asyncio.run(_run(args))
    except (DemoError, KeyFormatInvalid) as error:
        return _cannot(args.service, str(error))
    except OSError as error:
        return _cannot(args.service, f"{error.filename or f'{args.host}:{args.port}'}: {error.strerror}")
    return 0


async def _run(args: argparse.Namespace) -> None:
    world = _world(args.world)
    # Not trust_env: a proxy of the environment must not see service tokens.
    with bind(host=args.host, port=args.port) as listener:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session, AsyncExitStack() as held:
            if args.service == "identity":
                app = _identity(args, world)
            elif args.service == "issuer":
                app = _issuer(args, listener, session)
            elif args.service == "provider":
                token = _secret(args.service_token_file)
                app = await held.enter_async_context(
                    provider.provider_application(args, url=url_of(listener), token=token)
                )
            elif args.service == "dashboard":
                app = dashboard.dashboard_application(args)
            else:
                app = _bank(args, world)
            async with serve(app, listener=listener) as url:
                print(f"{args.service} ready at {url}", flush=True)
                await until_stopped()


def _identity(args: argparse.Namespace, world: World) -> web.Application:
    directory = Directory(world)
    if args.state_file is not None:
        load_state(directory, args.state_file)
    token = _secret(args.service_token_file)
    return IdentityService(directory, service_token=token, state_file=args.state_file).application()


def _issuer(args: argparse.Namespace, listener: socket.socket, session: aiohttp.ClientSession) -> web.Application:
    token = _secret(args.service_token_file)
    terms = TokenTerms(issuer=url_of(listener), audience=args.audience, lifetime=args.lifetime)
    return IssuerService(
        keys=IssuerKeys(now=time.time(), token_lifetime=terms.lifetime),
        terms=terms,
        identity=IdentityClient(session, url=args.identity_url, service_token=token),
        service_token=token,
    ).application()


def _bank(args: argparse.Namespace, world: World) -> web.Application:
    policy = PassportPolicy(issuer=args.passport_issuer, audience=args.audience)
    keys = PassportKeys(args.passport_jwks_url, loopback_http=True)
    gate = PassportGate(verifier=PassportVerifier(policy), keys=keys)
    return BankService(Ledger(world), gate=gate).application()


def _world(path: Path | None) -> World:
    return packaged_world() if path is None else parse_world(path.read_bytes())


def _secret(path: Path) -> str:
    text = path.read_text(encoding="utf-8").strip()
    if len(text) < 16 or not text.isascii():
        raise WorldInvalid(f"{path} must hold a token of at least 16 ASCII characters")
    return text


def _cannot(service: str, why: str) -> int:
    print(f"{service} cannot start: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
