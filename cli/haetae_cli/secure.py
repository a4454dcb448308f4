"""The Secure gateway of the local stack: its certificates, and Envoy in front of it where that is asked for.

Without Envoy the gateway checks callers' certificates itself; with it, Envoy does and the gateway takes its word. Both
speak TLS, so nobody sees a difference but the access log. Certificates are made anew at every start of a stack.
"""

import json
from pathlib import Path

from haetae_cli.certificates import CertificateFiles
from haetae_cli.envoy import envoy_command
from haetae_cli.envoy_config import Front, envoy_config
from haetae_cli.errors import CannotStart
from haetae_cli.ports import HOST

SECURE_GATEWAY = "secure"
#: The caller that the sample routes know, and the name of its files.
CALLER, CALLER_NAME = "spiffe://haetae.test/ns/reports", "reports"
_DAYS = 30


def make_certificates(keys: Path, *, now: float) -> None:
    """The development authority if there is none, and certificates for the gateway, Envoy and one caller.

    Raises: KeysUnusable.
    """
    files = CertificateFiles(keys)
    files.init(now=now)
    files.issue(SECURE_GATEWAY, ["dns:localhost", f"ip:{HOST}"], days=_DAYS, server=True, now=now)
    files.issue(CALLER_NAME, [CALLER], days=_DAYS, server=False, now=now)


def secure_environment(keys: Path, *, envoy: bool) -> dict[str, str]:
    """What `config/secure` is told. Behind Envoy no certificate is asked for: Envoy presents none of its own."""
    files = CertificateFiles(keys)
    told = {
        "SECURE_CERTIFICATE": str(files.certificate(SECURE_GATEWAY)),
        "SECURE_KEY": str(files.key(SECURE_GATEWAY)),
        "SECURE_CLIENT_CA": str(files.ca),
    }
    return {**told, "SECURE_ASK": "optional", "SECURE_SOURCE": "xfcc", "SECURE_PROXY": HOST} if envoy else told


def secure_envoy_command(state: Path, keys: Path, *, port: int, gateway: int) -> list[str]:
    """Write Envoy's configuration into the state directory; how it is run. Raises CannotStart."""
    files = CertificateFiles(keys)
    front = Front(
        listen=(HOST, port),
        upstream=(HOST, gateway),
        certificate=files.certificate(SECURE_GATEWAY),
        key=files.key(SECURE_GATEWAY),
        client_ca=files.ca,
        upstream_ca=files.ca,
        header_kilobytes=16,
        header_count=90,
    )
    path = state / "envoy.json"
    try:
        path.write_text(json.dumps(envoy_config(front), indent=2))
    except OSError as error:
        raise CannotStart(f"cannot write {path}: {(error.strerror or 'failed').lower()}") from error
    return [*envoy_command(path), "--base-id-path", str(state / "envoy.base-id"), "--use-dynamic-base-id"]


def curl_words(keys: Path, url: str) -> str:
    """A command line that calls the gateway as the sample caller."""
    files = CertificateFiles(keys)
    return (
        f"curl --cacert {files.ca} --cert {files.certificate(CALLER_NAME)} --key {files.key(CALLER_NAME)} "
        f"{url}/api/v1/echo"
    )
