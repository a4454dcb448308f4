"""The app channel's callers: devices with keys, and fresh signed requests of theirs.

A signed request is good once and for twenty seconds, so a round's requests are made right before it, by a
pool of processes on all cores; the load generator only sends bytes. What is made is what a real app makes:
`AppClient` of haetae-crypto with a content key per device and round, an encrypted body, a token bound to the
device key.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing import get_context
from types import TracebackType
from typing import Self

from haetae_crypto.client import AppClient, PreparedRequest
from haetae_crypto.gateway_keys import GatewayPublicKey
from haetae_crypto.jwk import ed25519_private_from_seed

from bench.tokens import Caller, Issuer

__all__ = ["DEVICES", "Device", "SignedRequests", "context_answer", "make_devices"]

DEVICES = 100
BODY = json.dumps({"from": "acc-0001", "to": "acc-0002", "amount": 1000, "memo": "m" * 962}).encode()
"""A transfer of 1 KiB."""


@dataclass(frozen=True, slots=True)
class Device:
    """A registered device: its key id, the seed of its Ed25519 key, and its user's access token."""

    keyid: str
    seed: bytes
    user: str
    token: str

    def client(self, gateway_key: GatewayPublicKey) -> AppClient:
        """The app on this device."""
        return AppClient(
            keyid=self.keyid,
            device_key=ed25519_private_from_seed(self.seed),
            gateway_key=gateway_key,
            random_bytes=os.urandom,
        )

    def record(self) -> str:
        """What the identity service says of it, as JSON (app channel, section 7)."""
        return json.dumps(
            {
                "keyid": self.keyid,
                "alg": "ed25519",
                "public_key": ed25519_private_from_seed(self.seed).public.to_dict(),
                "user_id": self.user,
                "device": {
                    "id": self.keyid,
                    "platform": "android",
                    "app_version": "7.1.0",
                    "attestation": "strong",
                },
                "status": "active",
            }
        )


def context_answer() -> str:
    """What the identity service says of any caller, as JSON."""
    return json.dumps(
        {
            "user": {"id": "u-0", "tier": "standard", "country": "KR"},
            "device": {"id": "dev-0", "platform": "android", "attestation": "strong"},
            "consents": {"marketing": False, "scoring": True},
            "risk": {"score": 0.07, "level": "low"},
        }
    )


def make_devices(issuer: Issuer, *, now: int, count: int = DEVICES) -> list[Device]:
    """Devices of as many users, each with a token bound to its key, issued at `now` (Unix seconds)."""
    made = []
    for number in range(count):
        seed, user = os.urandom(32), f"u-{number}"
        jkt = ed25519_private_from_seed(seed).public.thumbprint
        token = issuer.token(Caller(user, jkt), now=now, number=number)
        made.append(Device(f"dev_bench{number}", seed, user, token))
    return made


def prepare(client: AppClient, device: Device, url: str, *, now: float) -> PreparedRequest:
    """One transfer of the device's user."""
    headers = [("content-type", "application/json"), ("accept", "application/json"), ("user-agent", "bench/1")]
    return client.prepare("POST", url, now=now, headers=headers, body=BODY, token=device.token)


def wire_bytes(request: PreparedRequest) -> bytes:
    """The request as it goes over the connection."""
    body = request.body or b""
    lines = [f"{request.method} {request.target} HTTP/1.1", f"host: {request.authority}"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    lines += [f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("ascii") + body


def render(devices: Sequence[Device], gateway_key: tuple[str, str, bytes], url: str, count: int) -> list[bytes]:
    """`count` fresh requests, the devices taking turns. Runs in the pool; a key crosses as kid, KEM and
    bytes.
    """
    kid, kem, raw = gateway_key
    key = GatewayPublicKey.from_raw(kid=kid, kem=kem, raw=raw)
    clients = cycle([(device, device.client(key)) for device in devices])
    return [wire_bytes(prepare(client, device, url, now=time.time())) for device, client in islice(clients, count)]


def _use_cores(cores: Sequence[int]) -> None:
    os.sched_setaffinity(0, cores)


class SignedRequests:
    """A supply of requests that can each be sent once; a context manager that ends its processes."""

    def __init__(
        self, devices: Sequence[Device], gateway_key: GatewayPublicKey, url: str, *, cores: Sequence[int]
    ) -> None:
        self._shares = [list(devices[start :: len(cores)]) for start in range(len(cores))]
        self._key = (gateway_key.kid, gateway_key.suite.name, gateway_key.raw)
        self._url = url
        self._pool = ProcessPoolExecutor(
            len(cores), mp_context=get_context("spawn"), initializer=_use_cores, initargs=(cores,)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def prepare(self, count: int) -> Callable[[], bytes]:
        """At least `count` fresh requests of all devices in turn; runs dry after the last."""
        each = count // len(self._shares) + 1
        jobs = [self._pool.submit(render, share, self._key, self._url, each) for share in self._shares]
        batches = [job.result() for job in jobs]
        return iter([request for group in zip(*batches, strict=True) for request in group]).__next__
