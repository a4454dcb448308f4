"""What the unavoidable costs: signatures, key openings, ciphers and the store, measured through the libraries
we use.

These bound what any gateway in this language on this machine could do, and explain the rows above them. Each
number is the median of several loops of at least 50 ms, in microseconds per call, on the gateways' core.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator

import jwt
import uvloop
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.signing import SigningKey
from redis.asyncio import Redis

from bench.measure import Measure
from bench.tokens import AUDIENCE, ISSUER, Caller, Issuer

__all__ = ["pipeline_sizes", "primitive_costs", "store_costs"]

LOOP_SECONDS = 0.05
NONCE_MS = 45_000
pipeline_sizes = (32,)

MESSAGE = os.urandom(400)
BODY_1K = os.urandom(1024)


def primitive_costs(*, loops: int) -> Iterator[Measure]:
    """Microseconds of each primitive, from `loops` loops each."""
    for name, call in _primitives():
        yield Measure(f"primitive/{name}", "µs", tuple(_loop(call) for _ in range(loops)))


def _loop(call: Callable[[], object]) -> float:
    """Microseconds per call over at least `LOOP_SECONDS`."""
    clock = time.perf_counter
    call()
    count, began = 0, clock()
    while (now := clock()) - began < LOOP_SECONDS:
        for _ in range(10):
            call()
        count += 10
    return (now - began) / count * 1e6


def _primitives() -> Iterator[tuple[str, Callable[[], object]]]:
    yield from _signatures()
    yield from _sealed()
    key, nonce = AESGCM(os.urandom(16)), os.urandom(12)
    sealed = key.encrypt(nonce, BODY_1K, None)
    yield "AES-128-GCM seal 1 KiB", lambda: key.encrypt(nonce, BODY_1K, None)
    yield "AES-128-GCM open 1 KiB", lambda: key.decrypt(nonce, sealed, None)
    secret, salt = os.urandom(32), os.urandom(16)
    yield "HKDF-SHA-256", lambda: HKDF(hashes.SHA256(), 32, salt, b"bench").derive(secret)
    issuer = Issuer()
    token = issuer.token(Caller("u-1"), now=int(time.time()), number=1)
    public = issuer.public_key
    yield (
        "JWT ES256 verify (PyJWT)",
        lambda: jwt.decode(token, public, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER),
    )


def _signatures() -> Iterator[tuple[str, Callable[[], object]]]:
    signer = SigningKey.generate()
    signature = signer.sign(MESSAGE).signature
    verifier = signer.verify_key
    yield "Ed25519 sign (PyNaCl)", lambda: signer.sign(MESSAGE)
    yield "Ed25519 verify (PyNaCl)", lambda: verifier.verify(MESSAGE, signature)
    other = ed25519.Ed25519PrivateKey.generate()
    other_public, other_signature = other.public_key(), other.sign(MESSAGE)
    yield "Ed25519 verify (cryptography)", lambda: other_public.verify(other_signature, MESSAGE)
    p256 = ec.generate_private_key(ec.SECP256R1())
    algorithm = ec.ECDSA(hashes.SHA256())
    p256_public, p256_signature = p256.public_key(), p256.sign(MESSAGE, algorithm)
    yield "P-256 verify", lambda: p256_public.verify(p256_signature, MESSAGE, algorithm)


def _sealed() -> Iterator[tuple[str, Callable[[], object]]]:
    plaintext, info = os.urandom(40), b"bench"
    classic = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
    classic_key = x25519.X25519PrivateKey.generate()
    classic_sealed = classic.encrypt(plaintext, classic_key.public_key(), info)
    yield "HPKE open X25519", lambda: classic.decrypt(classic_sealed, classic_key, info)
    hybrid = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
    hybrid_key = MLKEM768X25519PrivateKey(mlkem.MLKEM768PrivateKey.generate(), x25519.X25519PrivateKey.generate())
    hybrid_sealed = hybrid.encrypt(plaintext, hybrid_key.public_key(), info)
    yield "HPKE open MLKEM768-X25519", lambda: hybrid.decrypt(hybrid_sealed, hybrid_key, info)


def store_costs(url: str, *, loops: int) -> Iterator[Measure]:
    """`SET NX PX` through redis-py on uvloop: one at a time, and as many in one pipeline as share a loop
    tick.
    """
    samples = uvloop.run(_store_loops(url, loops))
    yield Measure("primitive/SET NX alone", "µs", tuple(sample[0] for sample in samples))
    for index, size in enumerate(pipeline_sizes, start=1):
        key = f"primitive/SET NX, {size} in a pipeline"
        yield Measure(key, "µs", tuple(sample[index] for sample in samples), note="each")


async def _store_loops(url: str, loops: int) -> list[tuple[float, ...]]:
    async with Redis.from_url(url) as redis:
        numbers = iter(range(10**9))

        async def alone() -> None:
            await redis.set(f"n:{next(numbers)}", "1", nx=True, px=NONCE_MS)

        def grouped(size: int) -> Callable[[], Awaitable[None]]:
            async def group() -> None:
                pipeline = redis.pipeline(transaction=False)
                for _ in range(size):
                    pipeline.set(f"n:{next(numbers)}", "1", nx=True, px=NONCE_MS)
                await pipeline.execute()

            return group

        found: list[tuple[float, ...]] = []
        for _ in range(loops):
            one = await _async_loop(alone)
            rest = [await _async_loop(grouped(size)) / size for size in pipeline_sizes]
            found.append((one, *rest))
            await asyncio.sleep(0)
        return found


async def _async_loop(call: Callable[[], Awaitable[None]]) -> float:
    await call()
    count, began = 0, time.perf_counter()
    while (now := time.perf_counter()) - began < LOOP_SECONDS:
        await call()
        count += 1
    return (now - began) / max(1, count) * 1e6
