"""Whom no machine may refuse: networks of partners, health checks and own egress, and named subjects.

An installation writes one list, and everybody who lets machines make policies reads it: the fraud detection before it
decides, its writer and the policy service before they store. A subject is checked by all it would match, so a network
that holds one protected address is refused, too. People may block whom they must; the list does not bind them.

Does not read files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from haetae_policy.errors import AddressInvalid, PolicyInvalid, Problem
from haetae_policy.faults import fault
from haetae_policy.model import Subject
from haetae_policy.network import Network, parse_network
from haetae_policy.reader import Reader

# This network, loopback, private use (RFC 1918), shared address space (RFC 6598), link-local (RFC 3927, RFC 4291),
# unique local (RFC 4193).
ALWAYS_PROTECTED: Final = tuple(
    parse_network(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "::1",
        "fc00::/7",
        "fe80::/10",
    )
)
MAX_LISTED: Final = 10_000
MAX_NAME: Final = 256
_NAMED: Final = {"users": "user", "devices": "device", "accounts": "account", "clients": "client"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """One installation's list. `subjects` are pairs of kind and value; networks that are never public come on top."""

    networks: tuple[Network, ...] = ()
    subjects: frozenset[tuple[str, str]] = frozenset()

    @property
    def every_network(self) -> tuple[Network, ...]:
        """The listed networks and those that are always protected."""
        return (*ALWAYS_PROTECTED, *self.networks)

    def problems(self, subject: Subject) -> list[Problem]:
        """Return what a machine's policy for `subject` would break; nothing when it may be made."""
        found = [
            Problem(f"subject.{kind}", fault("protected_subject", kind=kind))
            for kind, value in subject.named().items()
            if (kind, value) in self.subjects
        ]
        if subject.ip is not None:
            found += [
                Problem("subject.ip", fault("protected_network", network=network))
                for network in self.every_network
                if network.overlaps(subject.ip)
            ]
        return found


NOBODY: Final = Protected()


def parse_protected(document: object) -> Protected:
    """Return the list of a decoded object with `networks`, `users`, `devices`, `accounts`, `clients`.

    Raises PolicyInvalid that names everything wrong with it; an unknown name is wrong, too, for what is not understood
    protects nobody.
    """
    problems: list[Problem] = []
    reader = Reader(document, "", frozenset({"networks", *_NAMED}), problems)
    networks: list[Network] = []
    for number, text in enumerate(_texts(reader, "networks")):
        try:
            networks.append(parse_network(text))
        except AddressInvalid as error:
            reader.fail(f"networks.{number}", error.fault)
    subjects = frozenset((kind, text) for name, kind in _NAMED.items() for text in _texts(reader, name))
    if not isinstance(document, Mapping) or problems:
        raise PolicyInvalid(tuple(problems))
    return Protected(networks=tuple(networks), subjects=subjects)


def _texts(reader: Reader, name: str) -> list[str]:
    value = reader.raw(name)
    if value is None:
        return []
    good = isinstance(value, list) and len(value) <= MAX_LISTED
    if not good or not all(isinstance(text, str) and 0 < len(text) <= MAX_NAME for text in value):
        reader.fail(name, fault("texts", most=MAX_LISTED, limit=MAX_NAME))
        return []
    return [str(text) for text in value]
