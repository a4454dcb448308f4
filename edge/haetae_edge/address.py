"""Who is at the other end of the connection (RFC 7239 section 8.1: nothing left of our own proxies is reliable).

Trusted proxies are networks. A request whose peer is not one of them is the client itself, and whatever it says about
forwarding is dropped. A trusted proxy must set or remove `X-Forwarded-*`: what it passes on from its own client is
believed. From a trusted peer, `X-Forwarded-For` is read from the right, passing over trusted addresses;
the first other address is the client. An entry that is no address ends the walk at the last trusted hop.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from haetae_policy import address_key

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_HOPS: Final = 32
_CACHE_ENTRIES: Final = 65536


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """The caller's address in canonical form (`text`; IPv4-mapped IPv6 is IPv4); `key` is how policies look it up.

    `scheme` and `host` are what a trusted proxy says the client used, None where none said so.
    """

    ip: IPAddress
    text: str
    key: int
    trusted_peer: bool = False
    scheme: str | None = None
    host: str | None = None


def canonical_ip(text: str) -> IPAddress:
    """Parse one address; IPv4-mapped IPv6 becomes IPv4. Raises ValueError (zone ids included)."""
    if "%" in text:
        raise ValueError("an address with a zone id is local to a link")
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class AddressReader:
    """Derives the client's address from the socket peer and, behind trusted proxies, from `X-Forwarded-*`."""

    def __init__(self, trusted: Sequence[IPNetwork]) -> None:
        self._trusted = tuple(trusted)
        self._peers: dict[str, ClientAddress] = {}

    def read(self, peer: str, index: Mapping[bytes, Sequence[bytes]] | None = None) -> ClientAddress:
        """The client's address. `peer` is the socket's; raises ValueError when it is no IP address."""
        address = self._peer(peer)
        if not address.trusted_peer or index is None:
            return address
        client = self._walk(address, index.get(b"x-forwarded-for", ()))
        scheme = _single(index.get(b"x-forwarded-proto"))
        return ClientAddress(
            ip=client.ip,
            text=client.text,
            key=client.key,
            trusted_peer=True,
            scheme=scheme if scheme in ("http", "https") else None,
            host=_single(index.get(b"x-forwarded-host")),
        )

    def _peer(self, peer: str) -> ClientAddress:
        found = self._peers.get(peer)
        if found is None:
            ip = canonical_ip(peer)
            found = ClientAddress(ip=ip, text=str(ip), key=address_key(str(ip)), trusted_peer=self._is_trusted(ip))
            if len(self._peers) >= _CACHE_ENTRIES:
                self._peers.clear()
            self._peers[peer] = found
        return found

    def _is_trusted(self, ip: IPAddress) -> bool:
        return any(ip.version == network.version and ip in network for network in self._trusted)

    def _walk(self, peer: ClientAddress, lines: Sequence[bytes]) -> ClientAddress:
        hops = ",".join(line.decode("ascii", "replace") for line in lines).split(",")
        client = peer
        for hop in reversed(hops[-_MAX_HOPS:]):
            try:
                ip = canonical_ip(hop.strip(" \t"))
            except ValueError:
                return client
            client = ClientAddress(ip=ip, text=str(ip), key=address_key(str(ip)))
            if not self._is_trusted(ip):
                return client
        return client


def _single(values: Sequence[bytes] | None) -> str | None:
    if values is None or len(values) != 1:
        return None
    return values[0].decode("ascii", "replace").strip(" \t")
