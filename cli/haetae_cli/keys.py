"""``haetae keys``: the gateway's own keys. Prints public halves only."""

import argparse
import json
import os
import secrets
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from haetae_cli.certificates import CertificateFiles
from haetae_cli.errors import KeysUnusable
from haetae_cli.key_material import PURPOSES, KeyLine, KeyMaterial
from haetae_cli.state import default_state
from haetae_cli.terminal import Terminal


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--dir", type=Path, metavar="DIR", help="where keys live (default: $HAETAE_KEYS, else keys of the local stack)"
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("init", parents=[common], help="make the keys that are missing")
    listing = verbs.add_parser("list", parents=[common], help="show all keys and their states")
    listing.add_argument("--json", action="store_true", help="print JSON")
    rotate = verbs.add_parser("rotate", parents=[common], help="publish the next key; use the one that is due")
    rotate.add_argument("purpose", choices=["app", "passport"])
    rotate.add_argument("--lead", type=int, metavar="SECONDS", help="until the fresh key is used (default: a day)")
    retire = verbs.add_parser("retire", parents=[common], help="withdraw one key at once, as when it leaked")
    retire.add_argument("purpose", choices=["app", "passport"])
    retire.add_argument("kid", help="its id, as listed")
    authority = verbs.add_parser("ca", parents=[common], help="the certificate authority for development")
    authority.add_argument("step", choices=["init", "rotate"])
    certificate = verbs.add_parser("certificate", parents=[common], help="make or renew a certificate")
    certificate.add_argument("name", help="of its files")
    certificate.add_argument(
        "--san", action="append", default=[], metavar="NAME", help="spiffe://…, dns:…, email:… or ip:…; repeatable"
    )
    certificate.add_argument("--days", type=int, default=30, metavar="N", help="how long it lasts (default: 30)")
    certificate.add_argument("--server", action="store_true", help="for TLS servers too")
    publish = verbs.add_parser("publish", parents=[common], help="print what others need to know")
    publish.add_argument("purpose", choices=PURPOSES, help="app: signed key list; passport: JWKS; root: key to pin")
    publish.add_argument("--out", type=Path, metavar="FILE", help="write to a file instead")


def run(args: argparse.Namespace) -> int:
    """Run one verb."""
    terminal = Terminal.standard()
    if args.verb in ("ca", "certificate"):
        return _certificates(args, terminal)
    material = KeyMaterial(args.dir or _default_directory())
    now = time.time()
    if args.verb == "init":
        made = material.init(now=now, random_bytes=secrets.token_bytes)
        terminal.line(f"made {', '.join(made)} keys" if made else "all keys were there already")
        terminal.line(f"in {material.path}")
    elif args.verb == "list":
        lines = material.lines()
        if args.json:
            terminal.line(json.dumps([asdict(line) for line in lines], indent=2))
        else:
            _table(terminal, lines)
    elif args.verb == "rotate":
        _table(
            terminal,
            material.rotate(args.purpose, now=now, lead=args.lead, random_bytes=secrets.token_bytes),
        )
    elif args.verb == "retire":
        _table(terminal, material.retire(args.purpose, args.kid, now=now, random_bytes=secrets.token_bytes))
    else:
        _publish(terminal, material.publish(args.purpose, now=now), args.out)
    return 0


def _certificates(args: argparse.Namespace, terminal: Terminal) -> int:
    files, now = CertificateFiles(args.dir or _default_directory()), time.time()
    if args.verb == "certificate":
        made = files.issue(args.name, args.san, days=args.days, server=args.server, now=now)
        terminal.line(f"wrote {made} and {files.key(args.name)}; check it with {files.ca}")
    elif args.step == "rotate":
        files.rotate(now=now)
        terminal.line(f"wrote {files.ca}: the new authority, and those before while they last")
    else:
        terminal.line(f"made {files.ca}" if files.init(now=now) else f"{files.ca} was there already")
    return 0


def _default_directory() -> Path:
    named = os.environ.get("HAETAE_KEYS")
    return Path(named) if named else default_state() / "keys"


def _table(terminal: Terminal, lines: list[KeyLine]) -> None:
    rows = [("purpose", "id", "kind", "state", "from", "until")]
    rows += [
        (line.purpose, line.kid, line.kind, line.state, _day(line.not_before), _day(line.not_after)) for line in lines
    ]
    terminal.table(rows, indent=0)


def _publish(terminal: Terminal, document: bytes, out: Path | None) -> None:
    if out is None:
        terminal.line(document.decode())
        return
    try:
        out.write_bytes(document)
    except OSError as error:
        raise KeysUnusable(f"cannot write {out}: {(error.strerror or 'failed').lower()}") from error
    terminal.line(f"wrote {out}")


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%MZ")
