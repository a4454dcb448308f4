"""``python -m haetae_demo provider``: arguments, files and loops of the demo OpenID provider.

Rules kept: listens on loopback unless forced with ``--for-development-only-listen-anywhere``; secrets come from files.
"""

import argparse
import asyncio
import ipaddress
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from haetae_demo.errors import WorldInvalid
from haetae_demo.io.localhost import local_session
from haetae_demo.provider.clients import parse_clients
from haetae_demo.provider.io.service import Conditions, ProviderService
from haetae_demo.provider.people import packaged_people, parse_people
from haetae_demo.provider.ring import ALGORITHMS
from haetae_demo.provider.terms import Terms

WARNING = "DEVELOPMENT ONLY: the people and passwords of this provider are public"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--service-token-file", type=Path, required=True, help="what /dev/ wants")
    parser.add_argument("--clients", type=Path, required=True, help="who may ask for tokens (JSON)")
    parser.add_argument("--people", type=Path, help="who can sign in (JSON; default: the packaged people)")
    parser.add_argument("--issuer", help="the provider's name (default: its address)")
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="RS256", help="signatures (default: RS256)")
    times = (("access", 300, "an access token"), ("id-token", 300, "an ID token"), ("code", 60, "a code"))
    for name, seconds, what in (*times, ("refresh", 43_200, "a refresh token"), ("sign-in", 43_200, "a sign-in")):
        parser.add_argument(
            f"--{name}-lifetime", type=int, default=seconds, help=f"seconds {what} lives (default: {seconds})"
        )
    parser.add_argument("--token-delay", type=float, default=0.0, help="seconds the token endpoint waits first")
    parser.add_argument("--rotate-every", type=float, default=0.0, help="seconds between keys (default: never)")
    parser.add_argument(
        "--for-development-only-listen-anywhere", action="store_true", help="allow another address than loopback"
    )


@asynccontextmanager
async def provider_application(args: argparse.Namespace, *, url: str, token: str) -> AsyncIterator[web.Application]:
    """The provider as ``args`` want it, at ``url``, while the block runs.

    Raises:
        WorldInvalid: a file does not read, or the address is not loopback.
    """
    _must_be_loopback(args)
    terms = Terms(
        issuer=(args.issuer or url).rstrip("/"),
        access=args.access_lifetime,
        id_token=args.id_token_lifetime,
        code=args.code_lifetime,
        refresh=args.refresh_lifetime,
        sign_in=args.sign_in_lifetime,
    )
    async with local_session() as session:
        service = ProviderService(
            clients=parse_clients(args.clients.read_bytes()),
            people=parse_people(args.people.read_bytes()) if args.people else packaged_people(),
            terms=terms,
            service_token=token,
            session=session,
            algorithm=args.algorithm,
            conditions=Conditions(token_delay=args.token_delay),
        )
        print(WARNING, file=sys.stderr, flush=True)
        rotating = None
        if args.rotate_every:
            rotating = asyncio.create_task(service.rotate_every(args.rotate_every, lead=int(args.rotate_every) // 2))
        try:
            yield service.application()
        finally:
            if rotating is not None:
                rotating.cancel()
                with suppress(asyncio.CancelledError):
                    await rotating


def _must_be_loopback(args: argparse.Namespace) -> None:
    if args.for_development_only_listen_anywhere:
        return
    if not ipaddress.ip_address(args.host).is_loopback:
        raise WorldInvalid(
            "the demo provider is for development and listens on loopback;"
            " --for-development-only-listen-anywhere changes that"
        )
