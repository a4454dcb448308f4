"""One request of the simulated world, its answer, and the behaviour event a gateway would report about it.

The event is a flat mapping with the field names of a behaviour event; what a gateway could not know stays None.
`Truth` says who was really behind a request: it is kept beside the events, never in them.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from haetae_demo.attack.chance import digest
from haetae_demo.attack.networks import ANY_HOST, Line
from haetae_demo.attack.people import Device, Software
from haetae_demo.attack.services import Api


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Who is behind a request. `attack` is a campaign's name or None for honest traffic; `user` the honest person;
    `victim` whose identity or account an attacker uses; `harm` that a normal answer to this request does damage.
    `fresh`: an honest log-in from a device that is new to its owner.
    """

    kind: str
    attack: str | None = None
    user: str | None = None
    victim: str | None = None
    harm: bool = False
    fresh: bool = False


@dataclass(slots=True, kw_only=True)
class Call:
    """A request before it is made. `api` None is a path that no route knows, told apart by `path`.

    `dev`/`user`/`sess` are what the request claims; `dev_v` and `user_v` whether that can be verified. `secret` is
    what is typed at a log-in. `status` forces an answer, for troubles of our own making.
    """

    api: Api | None
    line: Line
    software: Software
    truth: Truth
    host: int = ANY_HOST
    path: str | None = None
    dev: str | None = None
    dev_v: bool = False
    dev_made_ms: int | None = None
    attest: str | None = None
    user: str | None = None
    user_v: bool = False
    sess: str | None = None
    san: str | None = None
    obj: int | None = None
    acct: str | None = None
    secret: str | None = None
    sig: str | None = None
    dec: str | None = None
    nonce: str | None = None
    status: int | None = None

    def from_device(self, device: Device) -> Call:
        """The same request, made with this device; apps sign, seal and claim a nonce."""
        self.dev, self.dev_v, self.dev_made_ms = device.id, device.signed, device.made_ms
        self.attest, self.host = device.attest, device.number % 60_000 + 1
        if device.software.app:
            self.sig = self.sig or "ok"
            self.nonce = self.nonce or "ok"
            if self.api is not None and self.api.envelope:
                self.dec = self.dec or "ok"
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `refused`: blocked or throttled; `challenged`: a step-up was asked; `session` after a log-in."""

    status: int
    now_ms: int
    auth: str | None = None
    session: str | None = None
    refused: bool = False
    challenged: bool = False

    @property
    def normal(self) -> bool:
        """Whether no policy stood in the way."""
        return not (self.refused or self.challenged)


@dataclass(frozen=True, slots=True)
class Pause:
    """An actor does nothing for so many seconds."""

    seconds: float


Script = Generator[Call | Pause, Answer, None]
"""What an actor does: yields calls and pauses; is sent the answer to each call and nothing after a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One event and the truth about it. `established`: the gateway knew the caller's device for longer."""

    event: dict[str, Any]
    truth: Truth
    established: bool

    def label(self) -> dict[str, Any]:
        """The row of a labels file for this event; absent means null or false."""
        row: dict[str, Any] = {"id": self.event["id"], "attack": self.truth.attack, "kind": self.truth.kind}
        row["user"] = self.truth.user
        if self.truth.victim is not None:
            row["victim"] = self.truth.victim
        if self.truth.harm:
            row["harm"] = True
        if self.truth.fresh:
            row["fresh"] = True
        return row


def flat_event(call: Call, *, event_id: str, now_ms: int, gateway: str, salt: str) -> dict[str, Any]:
    """The event of a call that has not been answered yet: everything but status, cost and verdict."""
    api, line, software = call.api, call.line, call.software
    obj = None
    if call.obj is not None:
        obj = digest(salt, "object", call.obj)
    elif call.path is not None:
        obj = digest(salt, "path", call.path)
    typed = call.secret is not None
    return {
        "id": event_id,
        "ts": now_ms,
        "gw": gateway,
        "trace": None,
        "route": api.route if api is not None else None,
        "api": api.name if api is not None else None,
        "obj": obj,
        "obj_n": call.obj,
        "status": None,
        "lat": None,
        "bi": 400 if typed or (api is not None and api.method != "GET") else 0,
        "bo": None,
        "n_items": None,
        "ip": line.ip(call.host),
        "net": line.net,
        "ip64": line.ip64,
        "asn": line.asn,
        "cc": line.cc,
        "ipc": line.kind,
        "ja4": software.ja4,
        "ua": software.ua,
        "hdr": software.hdr,
        "ver": software.ver,
        "attest": call.attest,
        "dev": call.dev,
        "dev_v": call.dev_v and call.sig in (None, "ok"),
        "dev_age": None if call.dev_made_ms is None else max(0, now_ms - call.dev_made_ms) // 1000,
        "user": call.user,
        "user_v": call.user_v,
        "sess": call.sess,
        "san": call.san,
        "acct": call.acct,
        "auth": None,
        "cred_fp": digest(salt, "credential", call.acct, call.secret) if typed else None,
        "pw_fp": digest(salt, "password", call.secret) if typed else None,
        "sig": call.sig,
        "dec": call.dec,
        "nonce": call.nonce,
        "pol": "allow",
        "pid": None,
        "rl": False,
    }
