"""Cost of the block check: time a request and memory a policy, by number of policies.

Run with `uv run python -m bench.block_check`. Each size is built in a process of its own, through the same
path as at an edge (a snapshot's records, some at a time); memory is the growth of that process's resident
set. Mixed workload: half users, a fifth devices, a fifth addresses (IPv4 and IPv6, several prefix lengths),
a tenth with two conditions. `hit` repeats 500 blocked callers, `cold` 5000. Exits with 1 when a goal is
missed (3 us a check at a million policies, 400 bytes each).
"""

import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from haetae_policy.entries import MAX_TOGETHER, Head
from haetae_policy.facts import ApiFacts, Facts
from haetae_policy.feed import FeedFollower
from haetae_policy.model import Action, Api, Subject
from haetae_policy.network import Network, address_key, address_text, parse_network
from haetae_policy.record import Record, encode_record
from haetae_policy.table import PolicyTable

SIZES = (100, 100_000, 1_000_000)
GOAL_US, GOAL_BYTES = 3.0, 400
T0 = 1_750_000_000_000
ROUNDS, CALLS = 5, 40_000
APIS = (
    Api(),
    *(Api(route=f"route-{n}") for n in range(20)),
    *(Api(gateway="app", path=f"/api/v1/r{n}/**") for n in range(20)),
)


def main() -> int:
    """Run every size in its own process and print the table."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]))))
        return 0
    print(f"{'policies':>9} {'miss us':>8} {'hit us':>8} {'cold us':>8} {'early us':>8} {'bytes':>6} {'apply us':>8}")
    last: dict[str, float] = {}
    for size in SIZES:
        command = [sys.executable, "-m", "bench.block_check", str(size)]
        last = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        print(
            "{n:>9.0f} {miss:>8.2f} {hit:>8.2f} {cold:>8.2f} {early:>8.2f} {bytes:>6.0f} {apply:>8.2f}".format(**last)
        )
    missed = max(last["miss"], last["hit"]) > GOAL_US or last["bytes"] > GOAL_BYTES
    print("goal missed" if missed else f"goals met: < {GOAL_US} us, < {GOAL_BYTES} bytes")
    return int(missed)


def measure(count: int) -> dict[str, float]:
    """Build a table of `count` policies and time it; microseconds and bytes."""
    chance = random.Random(7)  # noqa: S311 - a workload, not a secret
    table = PolicyTable()
    follower = FeedFollower(table)
    follower.begin(Head("00" * 8, 0, (0, 0), 0, 0, 0))
    encoded = [encode_record(make_record(number, chance)) for number in range(MAX_TOGETHER)]
    before, spent = resident_bytes(), 0.0
    for first in range(0, count, MAX_TOGETHER):
        if first:
            last = min(first + MAX_TOGETHER, count)
            encoded = [encode_record(make_record(number, chance)) for number in range(first, last)]
        start = time.perf_counter()
        follower.load(encoded[:count])
        spent += time.perf_counter() - start
    assert len(table) == count
    gc.collect()
    size = (resident_bytes() - before) / count
    gc.freeze()
    blocked = [number for number in chance.sample(range(count), min(count, 20_000)) if number % 10 in (0, 2, 4)]
    hits = [caller(chance, f"u-{number}") for number in blocked[:5000]]
    usual = hits[:500]  # an attack repeats its subjects; `cold` is a different blocked caller every time
    misses = [caller(chance, f"x-{number}") for number in range(5000)]
    api = ApiFacts("app", "route-3", "POST", "/api/v1/r3/17")
    found = sum(table.check(who, api, T0) is not None for who in misses)
    assert found < len(misses) / 10, "the miss path must miss"
    assert all(table.check(who, api, T0) for who in hits), "the hit path must hit"
    return {
        "n": count,
        "miss": best(lambda who: table.check(who, api, T0), misses),
        "hit": best(lambda who: table.check(who, api, T0), usual),
        "cold": best(lambda who: table.check(who, api, T0), hits),
        "early": best(lambda who: table.check_early(who.ip or 0, api, T0), misses),
        "bytes": size,
        "apply": spent / count * 1e6,
    }


def caller(chance: random.Random, user: str) -> Facts:
    """A signed-in app user: everything known, as late in the pipeline."""
    ip = 1 << 32 | chance.getrandbits(32)
    return Facts(
        f"s-{chance.getrandbits(40)}", f"d-x{chance.getrandbits(40)}", user, None, None, "t13d1516h2", ip, True
    )


def make_record(number: int, chance: random.Random) -> Record:
    """Policy `number`; every user policy of even number blocks its user everywhere."""
    address = address_text(1 << 32 | chance.getrandbits(32))
    kind = number % 10
    api = APIS[0] if number % 2 == 0 else chance.choice(APIS)
    if kind < 5:
        subject = Subject(user=f"u-{number}")
    elif kind < 7:
        subject = Subject(device=f"dev-{chance.getrandbits(64):016x}")
    elif kind == 7:
        prefix = chance.choice((32, 32, 32, 24, 20))
        subject = Subject(ip=network(address, prefix), untrusted=number % 3 == 0)
    elif kind == 8:
        v6 = address_text(1 << 128 | 0x2001 << 112 | chance.getrandbits(100))
        subject = Subject(ip=network(v6, chance.choice((64, 64, 128, 56))), untrusted=True)
    else:
        subject = Subject(device=f"dev-{chance.getrandbits(64):016x}", ip=network(address, 32))
    return Record(
        pid=(T0 << 80) | (chance.getrandbits(40) << 32) | number,
        ver=1,
        exp_ms=T0 + 1_800_000,
        action=Action.BLOCK,
        subject=subject,
        api=api,
        why=f"r{number % 17}",
        machine=True,
    )


def network(address: str, prefix: int) -> Network:
    """The network of that length around an address."""
    shift = (128 if ":" in address else 32) - prefix
    return parse_network(f"{address_text(address_key(address) >> shift << shift)}/{prefix}")


def best(call: Callable[[Facts], object], inputs: list[Facts]) -> float:
    """Median microseconds a call over rounds, the loop's own cost taken off."""
    rounds = []
    calls = (inputs * (CALLS // len(inputs) + 1))[:CALLS]
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for item in calls:
            call(item)
        rounds.append(time.perf_counter() - start)
    return sorted(rounds)[ROUNDS // 2] / CALLS * 1e6


def resident_bytes() -> int:
    """Resident set of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


if __name__ == "__main__":
    sys.exit(main())
