"""What `gateway.yaml` says of TLS on the listener, and of where callers' certificates come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from haetae_edge.certificates import uri
from haetae_edge.config.values import ArgumentError, Doc, FilePath, Network


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """TLS on the listener. The files are read at a start and at a reload (SIGHUP)."""

    certificate: Annotated[FilePath, Doc("PEM file: our certificate, then its chain.")]
    key: Annotated[FilePath, Doc("PEM file: its private key, without a password.")]
    client_ca: Annotated[FilePath | None, Doc("PEM bundle that client certificates are checked against.")] = None
    client_certificates: Annotated[
        Literal["none", "optional", "required"], Doc("Whether clients are asked for a certificate, or must have one.")
    ] = "none"
    min_version: Annotated[Literal["1.2", "1.3"], Doc("Oldest TLS version.")] = "1.2"

    def __post_init__(self) -> None:
        if (self.client_certificates == "none") is not (self.client_ca is None):
            raise ArgumentError(
                "client_ca", "`client-ca` goes with `client-certificates: optional` or `required`, and only with them"
            )

    def located(self, directory: Path) -> TlsSettings:
        """The same with relative paths taken from `directory`."""
        client_ca = directory / self.client_ca if self.client_ca is not None else None
        return replace(self, certificate=directory / self.certificate, key=directory / self.key, client_ca=client_ca)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificateSettings:
    """Where callers' certificates come from, and which proxies are believed about them."""

    source: Annotated[
        Literal["none", "xfcc", "tls", "any"],
        Doc("`tls`: our own connections. `xfcc`: the header of `trusted-peers`. `any`: both."),
    ] = "none"
    trusted_peers: Annotated[
        tuple[Network, ...], Doc("Proxies whose `X-Forwarded-Client-Cert` is believed; no others ever are.")
    ] = ()
    by: Annotated[str | None, Doc("The URI that such a proxy must call itself by (`By=`); not set, any.")] = None

    def __post_init__(self) -> None:
        if self.source in ("xfcc", "any") and not self.trusted_peers:
            raise ArgumentError("trusted_peers", "list the proxies: `source: xfcc` and `source: any` need them")
        if self.by is not None and (uri(self.by) is None or not self.trusted_peers):
            raise ArgumentError("by", "is a URI of the proxy's certificate, such as `spiffe://td/edge`; it needs peers")
