"""``haetae passport inspect``: what a Passport says, and whether it may be believed.

Without ``--jwks`` nothing is verified and the report says so. The verdict is that of the verifier which
services use.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwks import MAX_JWKS_BYTES, JwkSet, parse_jwks
from haetae_passport import (
    MAX_PASSPORT_CHARS,
    Inspection,
    PassportError,
    PassportKeyUnknown,
    PassportPolicy,
    inspect_passport,
)
from haetae_passport.io.jwks import PassportKeys

from haetae_cli.errors import InputInvalid
from haetae_cli.terminal import Terminal


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    inspect = verbs.add_parser("inspect", help="show header and claims; verify them with --jwks")
    inspect.add_argument("token", metavar="TOKEN", help="the Passport, or - to read it from standard input")
    inspect.add_argument("--jwks", metavar="URL|FILE", help="verify with these keys")
    inspect.add_argument("--issuer", help="the gateway's name (needed with --jwks)")
    inspect.add_argument("--audience", help="the service's name (needed with --jwks)")
    inspect.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Exit code 0: readable, and valid where verification was asked for."""
    given = str(args.token)
    token = sys.stdin.read(4 * MAX_PASSPORT_CHARS) if given == "-" else given
    now = time.time()
    policy = keys = None
    if args.jwks is not None:
        if not args.issuer or not args.audience:
            raise InputInvalid("--jwks needs --issuer and --audience: say whose Passport for whom is expected")
        policy = PassportPolicy(issuer=args.issuer, audience=args.audience)
        kid = _unverified_kid(inspect_passport(token, now=now))
        keys = asyncio.run(_keys(args.jwks, kid))
    found = inspect_passport(token, now=now, keys=keys, policy=policy)
    _show(found, as_json=args.json, asked=policy is not None)
    if found.unverified_claims is None:
        return 1
    return 0 if policy is None or found.passport is not None else 1


def _unverified_kid(found: Inspection) -> str:
    kid = None if found.unverified_header is None else found.unverified_header.get("kid")
    return kid if isinstance(kid, str) else ""


async def _keys(source: str, kid: str) -> JwkSet:
    if "://" not in source:
        try:
            raw = await asyncio.to_thread(_read, Path(source))
            return parse_jwks(raw)
        except OSError as error:
            raise InputInvalid(f"cannot read {source}: {(error.strerror or 'failed').lower()}") from error
        except KeyFormatInvalid as error:
            raise InputInvalid(f"{source} is not a usable key set: {error}") from error
    try:
        async with PassportKeys(source, loopback_http=True) as keys:
            return await keys.keys_for(kid)
    except PassportKeyUnknown:
        return JwkSet(())
    except KeyFormatInvalid as error:
        raise InputInvalid(f"keys may not be fetched from {source}: {error}") from error
    except PassportError as error:
        raise InputInvalid(f"no keys from {source}; is the gateway running there?") from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_JWKS_BYTES + 1)


def _show(found: Inspection, *, as_json: bool, asked: bool) -> None:
    terminal = Terminal.standard()
    if as_json:
        report = {
            "verified": found.passport is not None,
            "problem": found.problem,
            "header": found.unverified_header,
            "claims": found.unverified_claims,
        }
        terminal.line(json.dumps(report, indent=2))
        return
    verdict, *rest = found.lines()
    colour = "green" if found.passport is not None else ("red" if asked else "yellow")
    terminal.line(terminal.style(verdict, colour))
    for line in rest:
        terminal.line(line)
