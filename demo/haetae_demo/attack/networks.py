"""Where requests of the simulated world come from: homes, offices, carriers that share addresses, hosting, proxies.

Addresses are handed out once each, so two homes never share one by accident. Does not route anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

ANY_HOST = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One way onto the internet: an IPv4 address, or an IPv6 /64 in which every device has its own address."""

    prefix: str
    net: str
    v6: bool
    asn: int
    cc: str
    kind: str
    shared: bool = False

    def ip(self, host: int = ANY_HOST) -> str:
        """The canonical source address of the `host`-th device."""
        return f"{self.prefix}::{host & 0xFFFF:x}" if self.v6 else self.prefix

    @property
    def ip64(self) -> str | None:
        """The /64, for IPv6."""
        return f"{self.prefix}::/64" if self.v6 else None


class AddressPlan:
    """Hands out lines. `ipv6` is the share of private lines that have IPv6."""

    def __init__(self, rng: Random, *, ipv6: float) -> None:
        self._rng = rng
        self._ipv6 = ipv6
        self._next_net = rng.randrange(1 << 20)
        self.cc = rng.choice(("KR", "DE", "JP", "BR", "US"))
        self._home_asns = [rng.randrange(3_000, 60_000) for _ in range(5)]
        self._carrier_asns = [rng.randrange(3_000, 60_000) for _ in range(3)]
        self._office_asns = [rng.randrange(3_000, 60_000) for _ in range(8)]
        self._hosting_asns = [rng.randrange(100_000, 400_000) for _ in range(6)]

    def home(self) -> Line:
        """A private connection."""
        return self._line("residential", self._rng.choice(self._home_asns), v6=self._rng.random() < self._ipv6)

    def office(self) -> Line:
        """A company's one address."""
        return self._line("corporate", self._rng.choice(self._office_asns), shared=True)

    def public_place(self) -> Line:
        """A school, a café, a train: a private line that many use."""
        return self._line("residential", self._rng.choice(self._home_asns), shared=True)

    def carriers(self, addresses: int) -> list[Line]:
        """The few addresses behind which the carriers hide everybody's telephone."""
        return [self._line("mobile", self._carrier_asns[n % 3], shared=True) for n in range(addresses)]

    def abroad(self, cc: str) -> Line:
        """A hotel's network in another country."""
        return self._line("residential", self._rng.randrange(3_000, 60_000), cc=cc, shared=True)

    def hosting(self, count: int) -> list[Line]:
        """Rented machines in a few data centres."""
        return [self._line("hosting", self._rng.choice(self._hosting_asns), cc="NL") for _ in range(count)]

    def one_net(self, count: int) -> list[Line]:
        """`count` addresses of one rented /24 (at most 250)."""
        net, asn = self._fresh_net(), self._rng.choice(self._hosting_asns)
        return [
            Line(prefix=f"{net}.{host + 2}", net=f"{net}.0/24", v6=False, asn=asn, cc="NL", kind="hosting")
            for host in range(min(count, 250))
        ]

    def proxies(self, count: int) -> list[Line]:
        """Residential proxies: other people's homes, each in a network of its own."""
        return [
            self._line("residential", self._rng.randrange(3_000, 60_000), v6=self._rng.random() < self._ipv6 / 2)
            for _ in range(count)
        ]

    def internal(self) -> Line:
        """Our own network."""
        return Line(prefix="10.20.0.7", net="10.20.0.0/24", v6=False, asn=64_512, cc="ZZ", kind="internal")

    def _line(self, kind: str, asn: int, *, v6: bool = False, cc: str | None = None, shared: bool = False) -> Line:
        where = cc or self.cc
        if v6:
            self._next_net += 1
            site = f"2a{self._next_net >> 16 & 0xFF:02x}:{self._next_net & 0xFFFF:x}:{asn & 0xFFFF:x}"
            return Line(
                prefix=f"{site}:{self._rng.randrange(1, 200):x}",
                net=f"{site}::/48",
                v6=True,
                asn=asn,
                cc=where,
                kind=kind,
                shared=shared,
            )
        net = self._fresh_net()
        address = f"{net}.{self._rng.randrange(2, 250)}"
        return Line(prefix=address, net=f"{net}.0/24", v6=False, asn=asn, cc=where, kind=kind, shared=shared)

    def _fresh_net(self) -> str:
        self._next_net += 1
        value = self._next_net
        return f"{24 + value // 65_536 % 90}.{value // 256 % 256}.{value % 256}"
