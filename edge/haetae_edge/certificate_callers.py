"""Who may call: names of certificates as a configuration writes them, and what each of them may reach.

A name is exact unless a wildcard is written: `spiffe://td/ns/*` stands for one segment, `spiffe://td/ns/**` for one or
more, `dns:*.partner.example` for one label. Kinds never mix: a DNS name does not match a URI that looks alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from haetae_edge.certificates import dns_name, email, uri
from haetae_edge.config.values import ArgumentError
from haetae_edge.exchange import ClientCertificate
from haetae_edge.predicates.host import parse_host_pattern
from haetae_edge.request import METHODS, Request
from haetae_edge.template import parse_template

_EXPECTED: Final = (
    "write one name of the certificate, such as `spiffe://td/ns/app`, `spiffe://td/ns/*`, `dns:api.partner.example`, "
    "`dns:*.partner.example` or `email:robot@partner.example`"
)

FindName = Callable[[ClientCertificate], "str | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerRule:
    """One entry of `callers`. Empty `hosts`, `paths` or `methods` mean any.

    `san` is a name of the certificate; `hosts` and `paths` are patterns as in the predicates `Host` and `Path`.
    """

    san: str
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    find: FindName = field(init=False, repr=False, compare=False)
    permits: Callable[[Request], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "find", _compile_san(self.san))
        except ValueError as error:
            raise ArgumentError("san", str(error)) from None
        for method in self.methods:
            if method not in METHODS:
                raise ArgumentError("methods", "are written in capitals, such as `GET` or `POST`")
        object.__setattr__(self, "permits", self._compile_request())

    def _compile_request(self) -> Callable[[Request], bool]:
        try:
            hosts = tuple(parse_host_pattern(text) for text in self.hosts)
        except ValueError as error:
            raise ArgumentError("hosts", str(error)) from None
        try:
            paths = tuple(parse_template(text).compile() for text in self.paths)
        except ValueError as error:
            raise ArgumentError("paths", str(error)) from None
        methods = frozenset(self.methods)

        def permits(request: Request) -> bool:
            if methods and request.method not in methods:
                return False
            if paths and not any(match(request.path, {}) for match in paths):
                return False
            host = "." + request.authority.value
            return not hosts or any(item.pattern.capture(host) is not None for item in hosts)

        return permits


def _compile_san(text: str) -> FindName:
    """The first of a certificate's names that fits `text`. Raises ValueError with a sentence."""
    kind, colon, name = text.partition(":")
    if kind == "dns" and colon:
        return _compile_dns(name)
    if kind == "email" and colon:
        wanted = email(name)
        if wanted is None:
            raise ValueError(_EXPECTED)
        return lambda certificate: wanted if wanted in certificate.emails else None
    for ending, deep in (("/**", True), ("/*", False)):
        if text.endswith(ending):
            return _compile_uri_below(text[: -len(ending)], deep=deep)
    if uri(text) is None or "*" in text:
        raise ValueError(_EXPECTED)
    return lambda certificate: text if text in certificate.uris else None


def _compile_uri_below(base: str, *, deep: bool) -> FindName:
    if not base.startswith("spiffe://") or uri(base) is None or "*" in base:
        raise ValueError(f"wildcards stand alone at the end of a SPIFFE id; {_EXPECTED}")
    prefix = base + "/"

    def find(certificate: ClientCertificate) -> str | None:
        for name in certificate.uris:
            if name.startswith(prefix) and (deep or "/" not in name[len(prefix) :]):
                return name
        return None

    return find


def _compile_dns(name: str) -> FindName:
    any_label = name.startswith("*.")
    wanted = dns_name(name[2:] if any_label else name)
    if wanted is None or (any_label and "." not in wanted):
        raise ValueError(_EXPECTED)
    if not any_label:
        return lambda certificate: wanted if wanted in certificate.dns else None
    suffix = "." + wanted

    def find(certificate: ClientCertificate) -> str | None:
        for found in certificate.dns:
            if found.endswith(suffix) and "." not in found[: -len(suffix)]:
                return found
        return None

    return find
