"""Client certificates: what one says, whether it may be used now, and whom to believe about it.

Rules kept: identities are names of the SAN extension and nothing else, never the subject's common name. A name that
could be taken for something else is no identity: NUL and other control characters, letters beyond ASCII, `; , = "`,
wildcards, percent signs and dot segments in SPIFFE ids. URIs are compared as they are, DNS names in lower case.
A forwarded certificate is believed from the configured peers only; what such a peer presents itself on its connection
is the proxy's own certificate and never the caller's.

Not done here: checking the chain. OpenSSL does that on our own connections, the proxy on its.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from cryptography import x509

from haetae_edge.address import IPNetwork, canonical_ip
from haetae_edge.exchange import ClientCertificate
from haetae_edge.xfcc import XfccInvalid, parse_xfcc

Source = Literal["none", "xfcc", "tls", "any"]

XFCC: Final = b"x-forwarded-client-cert"
MAX_DER: Final = 48 * 1024
#: Names of one certificate; a certificate that has more is refused rather than read in part.
MAX_NAMES: Final = 1024
_CACHED: Final = 4096
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[!#-+\-.\/0-:<>-\[\]-~]{1,2040}")
_SPIFFE = re.compile(r"spiffe://[a-z0-9._\-]{1,255}(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._\-]+)*")
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?"
_DNS = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/?^_`{|}~.\-]{1,64}")


class CertificateUnusable(Exception):
    """The certificate gives no identity. `reason` is a fixed word for the log."""

    code: ClassVar[str] = "certificate-unusable"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ReadCertificate:
    """A certificate as read; times in Unix seconds. `at` gives what the rest of the gateway may use."""

    unverified_certificate: ClientCertificate
    not_before: int

    def at(self, now: float) -> ClientCertificate:
        """The certificate, when `now` is within its validity (RFC 5280 section 4.1.2.5). Raises CertificateUnusable."""
        if now < self.not_before:
            raise CertificateUnusable("not-yet-valid")
        if now > self.unverified_certificate.not_after:
            raise CertificateUnusable("expired")
        return self.unverified_certificate


def read_certificate(der: bytes) -> ReadCertificate:
    """Read a DER certificate. Raises CertificateUnusable when it does not parse or has too many names."""
    if len(der) > MAX_DER:
        raise CertificateUnusable("size")
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = _names(certificate)
        not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise CertificateUnusable("unreadable") from None
    if certificate.serial_number <= 0:  # RFC 5280 section 4.1.2.2
        raise CertificateUnusable("serial")
    if len(names) > MAX_NAMES:
        raise CertificateUnusable("names")
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode("ascii")
    return ReadCertificate(
        ClientCertificate(
            thumbprint=thumbprint,
            uris=_kept(uri(name.value) for name in names if isinstance(name, x509.UniformResourceIdentifier)),
            dns=_kept(dns_name(name.value) for name in names if isinstance(name, x509.DNSName)),
            emails=_kept(email(name.value) for name in names if isinstance(name, x509.RFC822Name)),
            not_after=int(not_after.timestamp()),
        ),
        int(not_before.timestamp()),
    )


def _names(certificate: x509.Certificate) -> Sequence[x509.GeneralName]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(extension.value)


def _kept(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name is not None))


def uri(text: str) -> str | None:
    """A URI that can be an identity, unchanged, or None."""
    if text[:7].lower() == "spiffe:":
        return text if len(text) <= 2048 and _SPIFFE.fullmatch(text) else None
    return text if _URI.fullmatch(text) else None


def dns_name(text: str) -> str | None:
    """A host name in lower case, or None for anything else, wildcards included."""
    lower = text.lower() if text.isascii() else ""
    return lower if _DNS.fullmatch(lower) else None


def email(text: str) -> str | None:
    """A plain address with its domain in lower case, or None."""
    local, at, domain = text.rpartition("@")
    host = dns_name(domain)
    return f"{local}@{host}" if at and host is not None and _LOCAL.fullmatch(local) else None


class CertificateReader:
    """Finds the caller's certificate, remembering what it has read by hash.

    `peers` are the networks whose header is believed; `by` is the name (URI) such a peer must give itself, or None.
    """

    def __init__(self, source: Source, *, peers: Sequence[IPNetwork] = (), by: str | None = None) -> None:
        self.source = source
        self._peers = tuple(peers)
        self._by = by
        self._read: OrderedDict[bytes, ReadCertificate] = OrderedDict()
        self._trusted: dict[str, bool] = {}

    def find(
        self, *, source: Source, peer: str, tls_der: bytes | None, lines: Sequence[bytes], now: float
    ) -> ClientCertificate | None:
        """The certificate of this request's caller, or None when there is none to believe.

        `source` is what the route accepts; `peer` the address of the connection, `tls_der` the certificate presented on
        it, `lines` the header's. Raises XfccInvalid for a header of a trusted peer, CertificateUnusable.
        """
        forwarded = self.source in ("xfcc", "any")
        if forwarded and self._is_trusted(peer):
            if source not in ("xfcc", "any") or not lines:
                return None
            return self._forwarded(lines).at(now)
        if tls_der is None or self.source not in ("tls", "any") or source not in ("tls", "any"):
            return None
        return self._remembered(hashlib.sha256(tls_der).digest(), tls_der).at(now)

    def _forwarded(self, lines: Sequence[bytes]) -> ReadCertificate:
        # What was read once, proxy's name included, is known by the hash of the whole line.
        digest = hashlib.sha256(b"line:" + lines[0]).digest() if len(lines) == 1 else b""
        found = self._read.get(digest)
        if found is not None:
            self._read.move_to_end(digest)
            return found
        element = parse_xfcc(lines)
        if self._by is not None and element.by != (self._by,):
            raise XfccInvalid("by")
        return self._remembered(digest, element.der)

    def _remembered(self, digest: bytes, der: bytes) -> ReadCertificate:
        found = self._read.get(digest)
        if found is None:
            found = self._read[digest] = read_certificate(der)
            if len(self._read) > _CACHED:
                self._read.popitem(last=False)
        else:
            self._read.move_to_end(digest)
        return found

    def _is_trusted(self, peer: str) -> bool:
        known = self._trusted.get(peer)
        if known is None:
            try:
                ip = canonical_ip(peer)
            except ValueError:
                return False
            known = any(ip.version == network.version and ip in network for network in self._peers)
            if len(self._trusted) >= _CACHED:
                self._trusted.clear()
            self._trusted[peer] = known
        return known
