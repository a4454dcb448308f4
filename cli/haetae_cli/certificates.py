"""A certificate authority for development, in files: what ``haetae keys ca`` and ``haetae keys certificate`` use.

Rules kept: files are 0600 and replaced in one step; names go into the SAN extension, where gateways look; a rotated
authority stays in the bundle until it ends, so that certificates of both are good meanwhile. Not for production:
there, an authority keeps its key in hardware and can revoke. Time is an argument.
"""

import datetime
import ipaddress
import os
import re
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from haetae_cli.errors import KeysUnusable

FOLDER = "certificates"
CA_DAYS = 365
MAX_DAYS = 397
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_SANS = 100
_BACKDATE = datetime.timedelta(hours=1)
_PEM = serialization.Encoding.PEM


class CertificateFiles:
    """The authority and certificates of one directory. Every method raises KeysUnusable, saying what to do."""

    def __init__(self, keys: Path) -> None:
        self.path = keys / FOLDER
        self.ca = self.path / "ca.pem"
        self._ca_key = self.path / "ca.key"

    def certificate(self, name: str) -> Path:
        """Where the certificate of this name is."""
        return self.path / f"{name}.pem"

    def key(self, name: str) -> Path:
        """Where its private key is."""
        return self.path / f"{name}.key"

    def init(self, *, now: float) -> bool:
        """Make the authority, unless there is one that still lasts. Whether it was made."""
        if self.ca.exists() and self._ca_key.exists() and self._authority()[0].not_valid_after_utc > _time(now):
            return False
        self._make_authority(now, keep=())
        return True

    def rotate(self, *, now: float) -> None:
        """Make a new authority; those before stay in the bundle until they end."""
        self._authority()
        kept = [old for old in self._bundle() if old.not_valid_after_utc > _time(now)]
        self._make_authority(now, keep=kept)

    def issue(self, name: str, sans: Sequence[str], *, days: int, server: bool, now: float) -> Path:
        """Make or replace a certificate; returns its file.

        Args: name: of the files. sans: ``spiffe://…`` or another URI, ``dns:…``, ``email:…``, ``ip:…``. days: 1 to
        ``MAX_DAYS``. server: for TLS servers too, not only for clients. now: Unix seconds.
        """
        if not _NAME.fullmatch(name) or name == "ca":
            raise KeysUnusable("a certificate's name has letters, digits, `.`, `_` and `-`, and is not `ca`")
        if not 1 <= days <= MAX_DAYS:
            raise KeysUnusable(f"--days is from 1 to {MAX_DAYS}")
        if not 1 <= len(sans) <= _MAX_SANS:
            raise KeysUnusable("write at least one --san: gateways read names from nowhere else")
        authority, signer = self._authority()
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if server else [])]
        end = min(_time(now) + datetime.timedelta(days=days), authority.not_valid_after_utc)
        certificate = (
            _builder(name, key, now, end)
            .issuer_name(authority.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName([_san(text) for text in sans]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .sign(signer, hashes.SHA256())
        )
        self._write(self.key(name), _key_bytes(key))
        self._write(self.certificate(name), certificate.public_bytes(_PEM))
        return self.certificate(name)

    def _make_authority(self, now: float, *, keep: Sequence[x509.Certificate]) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = f"haetae development CA {_time(now):%Y-%m-%d %H:%M:%S}"
        certificate = (
            _builder(name, key, now, _time(now) + datetime.timedelta(days=CA_DAYS))
            .issuer_name(_subject(name))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_CA_USAGE, critical=True)
            .sign(key, hashes.SHA256())
        )
        # The key first: a key without its certificate is seen at the next look, a bundle without its key as well.
        self._write(self._ca_key, _key_bytes(key))
        self._write(self.ca, b"".join(item.public_bytes(_PEM) for item in (certificate, *keep)))

    def _bundle(self) -> list[x509.Certificate]:
        try:
            return x509.load_pem_x509_certificates(self.ca.read_bytes())
        except (OSError, ValueError) as error:
            raise KeysUnusable(f"{self.ca} cannot be read; make one with: haetae keys ca init") from error

    def _authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """The newest authority and its key."""
        certificate = self._bundle()[0]
        try:
            key = serialization.load_pem_private_key(self._ca_key.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise KeysUnusable(f"{self._ca_key} cannot be read; remove {self.path} and make new ones") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise KeysUnusable(f"{self._ca_key} is not the key of {self.ca}; remove {self.path} and make new ones")
        return certificate, key

    def _write(self, path: Path, data: bytes) -> None:
        fresh = path.with_name(f".{path.name}.new")
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            fresh.replace(path)
        except OSError as error:
            raise KeysUnusable(f"cannot write {path}: {(error.strerror or 'failed').lower()}") from error


_CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _builder(name: str, key: ec.EllipticCurvePrivateKey, now: float, end: datetime.datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(now) - _BACKDATE)
        .not_valid_after(end)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _san(text: str) -> x509.GeneralName:
    kind, _, rest = text.partition(":")
    try:
        match kind:
            case "dns":
                return x509.DNSName(rest)
            case "email":
                return x509.RFC822Name(rest)
            case "ip":
                return x509.IPAddress(ipaddress.ip_address(rest))
            case _ if rest.startswith("//") and len(rest) > 2:
                return x509.UniformResourceIdentifier(text)
    except ValueError as error:
        raise KeysUnusable(f"{text!r} is no name that a certificate can hold") from error
    raise KeysUnusable(f"{text!r} is no name; write spiffe://…, dns:…, email:… or ip:…")


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _time(now: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(now), datetime.UTC)
