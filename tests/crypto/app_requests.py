"""Requests for the tests of the app channel: a mutable stand-in for the gateway's request view."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from haetae_crypto.app_channel import DeviceKey
from haetae_crypto.client import PreparedRequest
from haetae_crypto.signing_keys import SigningKey

NOW = 1_763_800_000
DEVICE = SigningKey.from_seed(b"\x11" * 32, kid="dev_7Qx")
DEVICE_KEY = DeviceKey.from_jwk("dev_7Qx", "ed25519", DEVICE.public.to_dict())
NONCE = "Vd3mQm1vVYb0o1hK7rWZ2g"
COVERED = (
    '("@method" "@authority" "@path" "@query" "content-digest" "content-type" "content-encoding" '
    '"haetae-key" "authorization")'
)
PARAMETERS = f';created={NOW};expires={NOW + 20};nonce="{NONCE}";keyid="dev_7Qx";alg="ed25519";tag="haetae-app"'
SIGNATURE = f":{base64.b64encode(bytes(range(64))).decode()}:"


@dataclass
class FakeRequest:
    """A request with everything the profile looks at."""

    method: str = "POST"
    authority: str = "bank.example"
    path: str = "/v1/transfers"
    query: str | None = "a=1"
    has_body: bool = True
    fields: dict[str, list[str]] = field(
        default_factory=lambda: {
            "content-digest": ["sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"],
            "content-type": ["application/json"],
            "content-encoding": ["aes128gcm"],
            "haetae-key": [':AAAA:;kid="g1";v=1'],
            "authorization": ["Bearer token"],
        }
    )

    def field_lines(self, name: str, /) -> Sequence[str]:
        return self.fields.get(name, ())


def signed_request(covered: str = COVERED, parameters: str = PARAMETERS, signature: str = SIGNATURE) -> FakeRequest:
    """A request with the two signature fields as given."""
    request = FakeRequest()
    request.fields["signature-input"] = [f"app={covered}{parameters}"]
    request.fields["signature"] = [f"app={signature}"]
    return request


def request_of(prepared: PreparedRequest) -> FakeRequest:
    """A prepared request as the gateway sees it."""
    path, mark, query = prepared.target.partition("?")
    fields: dict[str, list[str]] = {}
    for name, value in prepared.headers:
        fields.setdefault(name.lower(), []).append(value)
    return FakeRequest(
        method=prepared.method,
        authority=prepared.authority,
        path=path,
        query=query if mark else None,
        has_body=prepared.body is not None,
        fields=fields,
    )
