"""``haetae request``: a curl that speaks the app channel, with the device key of a file.

The body of the answer goes to standard output as it is; everything else goes to standard error. Exit code 0
for an answer below 400, 1 otherwise. Without a stack, ``--identity``, ``--issuer`` and ``--root-key`` say
whom to ask.
"""

import argparse
import asyncio
import json
import secrets
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from haetae_crypto.client import PreparedRequest
from haetae_crypto.errors import CryptoError, KeyFormatInvalid
from haetae_crypto.jwk import PublicJwk, ed25519_private_from_seed, parse_public_jwk, private_jwk_of
from haetae_demo.errors import DemoError
from haetae_demo.io.enrolment import enrol, fetch_token
from haetae_demo.io.mobile import Answer, MobileApp, one_shot_session

from haetae_cli.device_file import DeviceFile
from haetae_cli.errors import InputInvalid, RequestFailed
from haetae_cli.state import StateDirectory, default_state
from haetae_cli.terminal import printable
from haetae_cli.tour.calls import MINA_CODE
from haetae_cli.visit import pinned

MAX_BODY_BYTES = 64 * 1024 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("method", metavar="METHOD")
    parser.add_argument("url", metavar="URL", help="at the gateway, such as http://127.0.0.1:8080/api/v1/accounts")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="'NAME: VALUE'")
    parser.add_argument("-d", "--data", metavar="TEXT|@FILE|@-", help="body; JSON unless a Content-Type says otherwise")
    parser.add_argument("-i", "--include", action="store_true", help="print status and headers of the answer too")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what crosses the wire to standard error")
    parser.add_argument("--no-token", action="store_true", help="sign as a device, without a user")
    parser.add_argument("--enrol", action="store_true", help="enrol a fresh device key first")
    parser.add_argument("--code", default=MINA_CODE, help="the person's enrolment code (default: the demo's Mina)")
    parser.add_argument("--device", type=Path, metavar="FILE", help="device file (default: device.json of the stack)")
    parser.add_argument("--state", type=Path, metavar="DIR", help="the local stack (default: .haetae)")
    parser.add_argument("--identity", metavar="URL", help="identity service, for --enrol (default: the stack's)")
    parser.add_argument("--issuer", metavar="URL", help="token issuer, for --enrol (default: the stack's)")
    parser.add_argument(
        "--root-key", type=Path, metavar="FILE", help="public JWK to pin, for --enrol (default: the stack's)"
    )


def run(args: argparse.Namespace) -> int:
    """Send one request."""
    headers = [_header(text) for text in args.header]
    body = None if args.data is None else _body(args.data)
    if body is not None and all(name.lower() != "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    try:
        return asyncio.run(_send(args, headers, body))
    except (DemoError, CryptoError) as error:
        raise RequestFailed(str(error)) from error


async def _send(args: argparse.Namespace, headers: list[tuple[str, str]], body: bytes | None) -> int:
    state = StateDirectory(args.state or default_state())
    path = args.device or state.device_file
    origin, target = _split(args.url)
    async with one_shot_session() as session:
        if args.enrol:
            await _enrol(args, session, state, path)
        found = DeviceFile.load(path)
        app = MobileApp(
            session,
            gateway_url=origin,
            device=found.device,
            root_key=found.root_key,
            clock=time.time,
            random_bytes=secrets.token_bytes,
        )
        if not args.no_token:
            grant = await fetch_token(
                session,
                issuer_url=found.issuer,
                device=found.device,
                now=time.time(),
                jti=secrets.token_hex(12),
            )
            app.token = grant.token
        await app.learn_keys()
        prepared = app.prepare(args.method.upper(), target, headers=headers, body=body)
        if args.verbose:
            _show_request(prepared)
        answer = await app.send(prepared)
    _show_answer(answer, include=args.include, verbose=args.verbose)
    return 0 if answer.status < 400 else 1


async def _enrol(args: argparse.Namespace, session: aiohttp.ClientSession, state: StateDirectory, path: Path) -> None:
    if args.identity and args.issuer and args.root_key:
        identity, issuer, root_key = args.identity, args.issuer, _root_key(args.root_key)
    else:
        stack = state.running()
        identity, issuer = args.identity or stack.identity, args.issuer or stack.issuer
        root_key = _root_key(args.root_key) if args.root_key else pinned(stack)
    key = private_jwk_of(ed25519_private_from_seed(secrets.token_bytes(32)).key)
    device = await enrol(
        session,
        identity_url=identity,
        code=args.code,
        key=key,
        now=time.time(),
        jti=secrets.token_hex(12),
    )
    DeviceFile(device=device, root_key=root_key, issuer=issuer).save(path)
    _say(f"enrolled {device.keyid} for {device.user_id}, kept in {path}")


def _root_key(path: Path) -> PublicJwk:
    try:
        return parse_public_jwk(json.loads(path.read_bytes()))
    except OSError as error:
        raise InputInvalid(f"cannot read {path}: {(error.strerror or 'failed').lower()}") from error
    except (ValueError, AttributeError, TypeError, KeyFormatInvalid) as error:
        raise InputInvalid(f"{path} is no public key; make it with: haetae keys publish root --out FILE") from error


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise InputInvalid(f"a header is written 'Name: value', not {printable(text, most=60)!r}")
    return name.strip(), value.strip()


def _body(text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode()
    try:
        if text == "@-":
            data = sys.stdin.buffer.read(MAX_BODY_BYTES + 1)
        else:
            with Path(text[1:]).open("rb") as file:
                data = file.read(MAX_BODY_BYTES + 1)
    except OSError as error:
        raise InputInvalid(f"cannot read {text[1:]}: {(error.strerror or 'failed').lower()}") from error
    if len(data) > MAX_BODY_BYTES:
        raise InputInvalid(f"the body is longer than {MAX_BODY_BYTES} bytes")
    return data


def _split(url: str) -> tuple[str, str]:
    """Origin and target as typed; nothing is normalised, because the target is signed as it is."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputInvalid(f"write the whole URL, such as http://127.0.0.1:8080/api/v1/accounts, not {url!r}")
    origin = f"{parts.scheme}://{parts.netloc}"
    return origin, url[len(origin) :] or "/"


def _show_request(prepared: PreparedRequest) -> None:
    _say(f"> {prepared.method} {prepared.target} HTTP/1.1")
    _say(f"> host: {prepared.authority}")
    for name, value in prepared.headers:
        _say(f"> {name}: {printable(value, most=160)}")
    if prepared.body is not None:
        _say(f"> ({len(prepared.body)} bytes) {prepared.body[:32].hex(' ', 4)} …")


def _show_answer(answer: Answer, *, include: bool, verbose: bool) -> None:
    if verbose:
        _say(f"< {answer.status}")
        for name, value in answer.headers:
            _say(f"< {name}: {printable(value, most=160)}")
        how = "encrypted, opened below" if answer.encrypted else "plain"
        _say(f"< ({len(answer.wire)} bytes, {how}) {answer.wire[:32].hex(' ', 4)} …")
    if include:
        print(f"HTTP/1.1 {answer.status}")
        for name, value in answer.headers:
            print(f"{name}: {printable(value)}")
        print(flush=True)
    sys.stdout.flush()
    sys.stdout.buffer.write(answer.body)
    if sys.stdout.isatty() and not answer.body.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def _say(text: str) -> None:
    print(text, file=sys.stderr)
