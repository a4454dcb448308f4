"""Addresses as keys: an IPv4 address or an IPv6 /64, and the network (/24 or /48) around it.

Rules kept: computed from the address itself, so that a sender's idea of its network cannot differ from ours; text
that is no address has neither. Not here: who may be refused.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address


@lru_cache(maxsize=65_536)
def keys_of(ip: str) -> tuple[str, str]:
    """Return (address or /64, /24 or /48); two empty texts for what is no address."""
    try:
        address = ip_address(ip)
    except ValueError:
        return "", ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            whole = int(address)
            return f"{IPv6Address(whole >> 64 << 64)}/64", f"{IPv6Address(whole >> 80 << 80)}/48"
        address = address.ipv4_mapped
    text = str(address)
    return text, text.rpartition(".")[0] + ".0/24"
