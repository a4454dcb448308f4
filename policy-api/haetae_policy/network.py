"""IP addresses and networks as plain integers, made for look-ups.

An address is one integer with a marker bit above it: `1 << 32 | v4` or `1 << 128 | v6`. A network is the
same integer shifted right by its host bits, so a network's integer tells its own prefix length, a prefix
test is one shift and one comparison, and no v4 value ever equals a v6 value. An IPv4-mapped IPv6 address is
the IPv4 address (RFC 4291, 2.5.5.2); zone identifiers are refused (RFC 6874: they mean nothing to another
host).

Does not: resolve names, trust proxies, or read a header. The edge calls `address_key` once per request.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from haetae_policy.errors import AddressInvalid
from haetae_policy.faults import fault

V4_TAG: Final = 1 << 32
V6_TAG: Final = 1 << 128
_MAX_TEXT: Final = 64
_OCTETS: Final = {str(number): number for number in range(256)}
_PREFIX: Final = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)
_MAPPED: Final = 0xFFFF


@lru_cache(maxsize=8192)
def address_key(text: str) -> int:
    """Return the integer of one IPv4 or IPv6 address in text form; raises AddressInvalid for anything else.

    IPv4 must be four decimal octets without leading zeros: other spellings are read differently elsewhere.
    """
    parts = text.split(".", 4)
    if len(parts) == 4:
        first, second, third, fourth = map(_OCTETS.get, parts)
        if first is not None and second is not None and third is not None and fourth is not None:
            return V4_TAG | first << 24 | second << 16 | third << 8 | fourth
    return _v6_key(text)


def _v6_key(text: str) -> int:
    if len(text) > _MAX_TEXT or "%" in text or ":" not in text:
        raise AddressInvalid(fault("address"))
    try:
        value = int(ipaddress.IPv6Address(text))
    except ValueError as error:
        raise AddressInvalid(fault("address")) from error
    return _tag_v6(value)


def _tag_v6(value: int) -> int:
    return V4_TAG | value & 0xFFFF_FFFF if value >> 32 == _MAPPED else V6_TAG | value


def packed_address_key(packed: bytes) -> int:
    """Return the integer of a packed address (4 or 16 bytes, network order); raises AddressInvalid."""
    if len(packed) == 4:
        return V4_TAG | int.from_bytes(packed)
    if len(packed) == 16:
        return _tag_v6(int.from_bytes(packed))
    raise AddressInvalid(fault("address"))


def address_text(key: int) -> str:
    """Return the canonical text (RFC 5952 for IPv6) of an address integer."""
    if key >> 32 == 1:
        return str(ipaddress.IPv4Address(key ^ V4_TAG))
    return str(ipaddress.IPv6Address(key ^ V6_TAG))


@dataclass(frozen=True, slots=True)
class Network:
    """One network. `key` is the marked prefix, `shift` the number of host bits, `version` 4 or 6."""

    version: int
    key: int
    shift: int

    @property
    def prefix(self) -> int:
        """Length of the prefix in bits."""
        return self.key.bit_length() - 1

    def __contains__(self, address: int) -> bool:
        return address >> self.shift == self.key

    def overlaps(self, other: Self) -> bool:
        """Tell whether any address is in both networks."""
        if self.version != other.version:
            return False
        wide, narrow = (self, other) if self.shift >= other.shift else (other, self)
        return narrow.key >> wide.shift - narrow.shift == wide.key

    def __str__(self) -> str:
        address = address_text(self.key << self.shift)
        return address if self.shift == 0 else f"{address}/{self.prefix}"


def parse_network(text: str) -> Network:
    """Return the network of an address or CIDR text; raises AddressInvalid.

    Host bits must be zero: `10.0.0.5/24` is more often a slip than a wish for 256 addresses.
    """
    address, slash, prefix_text = text.partition("/")
    value = address_key(address)
    written_v6 = ":" in address
    bits = 128 if written_v6 else 32
    if slash and _PREFIX.fullmatch(prefix_text) is None:
        raise AddressInvalid(fault("prefix_number"))
    prefix = int(prefix_text) if slash else bits
    if prefix > bits:
        raise AddressInvalid(fault("prefix_most", bits=bits))
    if written_v6 and value >> 32 == 1:
        if prefix < 96:
            raise AddressInvalid(fault("mapped"))
        bits, prefix = 32, prefix - 96
    shift = bits - prefix
    key = value >> shift
    if key << shift != value:
        raise AddressInvalid(fault("host_bits", network=f"{address_text(key << shift)}/{prefix}"))
    return Network(version=4 if bits == 32 else 6, key=key, shift=shift)
