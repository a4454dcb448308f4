"""Interleaved rounds: every contender once per round, A B C A B C …, so that a slow minute hits all of them.

Throughput first (closed loop). Then latency (open loop) at half of each contender's own saturated rate, each
run next to one straight to the upstream at the same rate and with the same arrivals: what is *added* is the
difference.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from bench.contender import Contender
from bench.loader import run_closed
from bench.measure import Measure
from bench.openloop import run_open

__all__ = ["Plan", "latency_rounds", "throughput_rounds"]

MARGIN = 1.6
"""One-time requests rendered per request expected: a faster round must not run dry."""

FULL_CORE = 0.9
"""A contender that used less of its core was not the bottleneck, and its number is a lower bound."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure: rounds, and seconds of each run."""

    rounds: int
    warmup: float
    seconds: float
    connections: int = 32


Say = Callable[[str], None]


def throughput_rounds(contenders: Sequence[Contender], plan: Plan, say: Say) -> Iterator[Measure]:
    """Requests per second of each contender.

    Raises:
        BenchError: any bad answer from any contender.
    """
    rates: dict[str, list[float]] = defaultdict(list)
    shares: dict[str, list[float]] = defaultdict(list)
    for number in range(plan.rounds):
        for contender in contenders:
            expected = max([contender.first_guess, *rates[contender.key]])
            supply = contender.supply.prepare(int(expected * (plan.warmup + plan.seconds) * MARGIN))
            with _busy(contender) as busy:
                result = run_closed(
                    contender.address,
                    supply,
                    connections=plan.connections,
                    warmup=plan.warmup,
                    seconds=plan.seconds,
                )
            rates[contender.key].append(result.rate)
            shares[contender.key].append(busy[0])
            core = f"   {busy[0]:4.0%} of its core" if contender.process is not None else ""
            say(f"round {number + 1}/{plan.rounds}  {contender.key:<28} {result.rate:>9,.0f} req/s{core}")
    for contender in contenders:
        note = _note(rates[contender.key], shares[contender.key]) if contender.process is not None else ""
        yield Measure(contender.key, "req/s", tuple(rates[contender.key]), note=note)


def _note(rates: Sequence[float], shares: Sequence[float]) -> str:
    """How full the contender's core was, and what it did per second of CPU time, whoever else used the
    machine.
    """
    efficiency = median(rate / max(share, 0.01) for rate, share in zip(rates, shares, strict=True))
    note = f"core {median(shares):.0%}, {efficiency:,.0f} per CPU second"
    return note if median(shares) >= FULL_CORE else f"{note}; not full: a lower bound"


@contextmanager
def _busy(contender: Contender) -> Iterator[list[float]]:
    """Yields a list that afterwards holds one number: the share of one core that the contender used."""
    found: list[float] = []
    before, began = contender.cpu_seconds(), time.monotonic()
    yield found
    found.append((contender.cpu_seconds() - before) / (time.monotonic() - began))


def latency_rounds(
    contenders: Sequence[tuple[Contender, float]], straight: Contender, plan: Plan, say: Say
) -> Iterator[Measure]:
    """Latency of each (contender, rate per second), its own and added to the straight way, in microseconds.

    Raises:
        BenchError: any bad answer, or a peer that cannot keep up with half of its own rate.
    """
    samples: dict[str, list[float]] = defaultdict(list)
    for number in range(plan.rounds):
        for contender, rate in contenders:
            seconds, seed = plan.warmup + plan.seconds, number + 1
            found: list[tuple[float, float]] = []
            for target in (straight, contender):
                result = run_open(
                    target.address,
                    target.supply.prepare(int(rate * seconds) + 1),
                    rate=rate,
                    connections=plan.connections,
                    warmup=plan.warmup,
                    seconds=plan.seconds,
                    seed=seed,
                )
                found.append((result.percentile_us(50), result.percentile_us(99)))
            base, own = found
            for index, percent in enumerate(("p50", "p99")):
                name = _latency_name(contender)
                samples[f"{name}/{percent}"].append(own[index])
                samples[f"{name}/added {percent}"].append(own[index] - base[index])
            say(
                f"round {number + 1}/{plan.rounds}  {contender.key:<28} at {rate:>7,.0f}/s  "
                f"p50 {own[0]:,.0f} µs  p99 {own[1]:,.0f} µs"
            )
    for contender, rate in contenders:
        for what in ("p50", "p99", "added p50", "added p99"):
            key = f"{_latency_name(contender)}/{what}"
            yield Measure(key, "µs", tuple(samples[key]), note=f"at {rate:,.0f} req/s")


def _latency_name(contender: Contender) -> str:
    """`latency/NAME` for the plain row, `latency/NAME ROW` for the others."""
    return f"latency/{contender.name}" + ("" if contender.row == "plain" else f" {contender.row}")
