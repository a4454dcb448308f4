"""A table of networks: whose an address is (autonomous system, country) and of what kind.

One line per network, `CIDR,asn,country,kind`, the last three may be empty; lines that begin with `#` are comments.
The most specific network wins. Kinds are those of `haetae_fds.NetworkKind`.

Look-ups walk from the longest prefix length present to the shortest, one dictionary probe each; callers remember the
answers. Not done here: reading the file, choosing a source for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final

from haetae_fds import NetworkKind

MAX_NETWORKS: Final = 2_000_000
_KINDS: Final = frozenset(kind.value for kind in NetworkKind)
_MAX_ASN: Final = 2**32 - 1


class NetworksInvalid(ValueError):
    """A line is no network. `line` counts from one."""

    code = "networks-invalid"

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What is known of a network."""

    asn: int | None
    country: str | None
    kind: str | None


class NetworkTable:
    """Networks by prefix length; built once."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Raises NetworksInvalid for the first line that is not understood."""
        self._by_length: dict[int, dict[int, dict[int, NetworkFacts]]] = {4: {}, 6: {}}
        same: dict[NetworkFacts, NetworkFacts] = {}
        count = 0
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            count += 1
            if count > MAX_NETWORKS:
                raise NetworksInvalid(number, f"more than {MAX_NETWORKS} networks")
            cidr, facts = _read(text, number)
            try:
                network = ip_network(cidr)
            except ValueError:
                raise NetworksInvalid(number, "this is no network, such as 203.0.113.0/24") from None
            shift = network.max_prefixlen - network.prefixlen
            table = self._by_length[network.version].setdefault(network.prefixlen, {})
            table[int(network.network_address) >> shift] = same.setdefault(facts, facts)
        self._lengths = {version: sorted(tables, reverse=True) for version, tables in self._by_length.items()}

    def find(self, address: IPv4Address | IPv6Address) -> NetworkFacts | None:
        """What is known of the most specific network that holds `address`."""
        bits, value, tables = address.max_prefixlen, int(address), self._by_length[address.version]
        for length in self._lengths[address.version]:
            found = tables[length].get(value >> (bits - length))
            if found is not None:
                return found
        return None


def _read(text: str, number: int) -> tuple[str, NetworkFacts]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4:
        raise NetworksInvalid(number, "a line is CIDR,asn,country,kind")
    cidr, asn, country, kind = parts
    if asn and not (asn.isascii() and asn.isdigit() and int(asn) <= _MAX_ASN):
        raise NetworksInvalid(number, "asn is a whole number")
    if country and not (len(country) == 2 and country.isascii() and country.isupper()):
        raise NetworksInvalid(number, "country has two capital letters")
    if kind and kind not in _KINDS:
        raise NetworksInvalid(number, f"kind is one of {', '.join(sorted(_KINDS))}")
    return cidr, NetworkFacts(int(asn) if asn else None, country or None, kind or None)
