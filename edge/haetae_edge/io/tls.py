"""TLS on the listener: from settings to a context of OpenSSL, and the end of our own certificate.

Clients are checked for a chain to `client-ca`, validity and the purpose of client authentication; names are none of
its business. Where clients have certificates there are no tickets, so TLS 1.3 never resumes; TLS 1.2 may, within one
worker and one set of files, whose authority it was checked against. Times are checked at each request. Done before
workers are forked, so that files that cannot be used stop a start and leave a running generation in peace.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from cryptography import x509

from haetae_edge.config.certificates import TlsSettings
from haetae_edge.errors import ConfigError, ConfigProblem

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """A context for the listener. Raises ConfigError when a file cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A key with a password must not make a server wait at a terminal.
        context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(settings.certificate, "this certificate and its key", error) from error
    if settings.client_ca is not None:
        try:
            context.load_verify_locations(cafile=settings.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(settings.client_ca, "these authorities", error) from error
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    context.verify_mode = _VERIFY[settings.client_certificates]
    return context


def certificate_end(path: Path) -> int:
    """When the first certificate of a PEM file ends, Unix seconds. Raises ConfigError."""
    try:
        return int(x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp())
    except (OSError, ValueError) as error:
        raise _unusable(path, "this certificate", error) from error


def _no_password() -> str:
    return ""


def _unusable(path: Path, what: str, error: Exception) -> ConfigError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return ConfigError((ConfigProblem(path.as_posix(), 1, f"{what} cannot be used: {why}"),))
