"""The signature profile of the app channel (section 3 of its page) on top of RFC 9421.

    parse_app_signature ─► check_window ─► (device key looked up) ─► digest ─► verify_app_signature ─► claim
    the nonce

Rules kept:
- Exactly one signature with `tag="haetae-app"`; those with other tags are ignored, whatever their label.
- Covered always: `@method`, `@authority`, `@path`, `@query`; with a body `content-digest` and `content-type`;
  and `content-encoding`, `haetae-key`, `authorization` whenever present. Other plain fields may be covered.
- No component parameters, no other derived components, no unknown signature parameters.
- A covered or required field that occurs more than once is refused, `accept*` aside.
- The algorithm is the registered key's; `alg` may only agree with it.

Two ways of reading, one language: the spelling clients write is matched by one expression, with the parsed
component list remembered by its text; every other spelling takes the general parser. A property test holds
that both accept the same fields with the same values.

Not done here: the digest of the body (`digest`), the nonce store, the device register.
"""

import re
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from haetae_crypto.components import join_base
from haetae_crypto.errors import KeyFormatInvalid, SignatureInvalid, SignatureMissing
from haetae_crypto.jwk import PublicJwk, parse_public_jwk
from haetae_crypto.keyring import is_key_id
from haetae_crypto.message_signature import check_components, parse_signatures
from haetae_crypto.replay import Window
from haetae_crypto.signature_algorithms import verify_ed25519, verify_p256
from haetae_crypto.structured import Item, parse_dictionary, serialize_inner_list

TAG: Final = "haetae-app"
ED25519: Final = "ed25519"
P256: Final = "ecdsa-p256-sha256"
ALGORITHM_KEY_TYPES: Final[Mapping[str, str]] = {ED25519: "OKP", P256: "EC"}
MAX_COVERED: Final = 32

REQUIRED_ALWAYS: Final = frozenset({"@method", "@authority", "@path", "@query"})
REQUIRED_WITH_BODY: Final = frozenset({"content-digest", "content-type"})
REQUIRED_WHEN_PRESENT: Final = ("content-encoding", "haetae-key", "authorization")

_PARAMETERS: Final = frozenset({"created", "expires", "nonce", "keyid", "alg", "tag"})
_MANDATORY: Final = _PARAMETERS - {"alg"}
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_FIELD_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")

_FAST_INPUT = re.compile(
    r"([a-z*][a-z0-9*._-]*)=(\([a-z0-9@\" _-]*\))"
    r"((?:;(?:created|expires)=(?:0|[1-9][0-9]{0,14})|;(?:nonce|keyid|alg|tag)=\"[ !#-\[\]-~]*\")+)"
)
_FAST_PARAMETER = re.compile(r";([a-z]+)=(?:([0-9]+)|\"([^\"]*)\")")
_FAST_SIGNATURE = re.compile(r"([a-z*][a-z0-9*._-]*)=:([A-Za-z0-9+/]{86}==):")


class SignedRequest(Protocol):
    """The facts of a request that the signature covers.

    `authority` is lower case without default port; `path` and `query` are undecoded; `query` has no `?` and
    is None when the target has none. `field_lines` takes a lower-case name and gives the values in order,
    trimmed.
    """

    @property
    def method(self) -> str: ...
    @property
    def authority(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query(self) -> str | None: ...
    @property
    def has_body(self) -> bool: ...
    def field_lines(self, name: str, /) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class UnverifiedSignature:
    """The one app signature of a request: well-formed and sufficient in coverage, but not verified.

    `created` and `expires` are Unix seconds, `base` the exact bytes that must have been signed.
    """

    keyid: str
    nonce: str
    created: int
    expires: int
    alg: str | None
    covered: tuple[str, ...]
    base: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """What a verified signature says: this device key signed these components, once, in this window."""

    keyid: str
    nonce: str
    created: int
    expires: int
    alg: str
    thumbprint: str
    covered: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """A registered device key with its one algorithm; `thumbprint` is what a token's `cnf.jkt` must equal."""

    keyid: str
    alg: str
    thumbprint: str
    jwk: PublicJwk
    _material: bytes | EllipticCurvePublicKey

    @classmethod
    def from_jwk(cls, keyid: str, alg: str, jwk: Mapping[str, object]) -> "DeviceKey":
        """A device key as the identity service knows it. Raises KeyFormatInvalid."""
        key = parse_public_jwk(jwk)
        if not is_key_id(keyid) or ALGORITHM_KEY_TYPES.get(alg) != key.kty:
            raise KeyFormatInvalid("device key with a malformed id or an algorithm that does not fit")
        material = key.key if isinstance(key.key, EllipticCurvePublicKey) else key.raw_ed25519()
        return cls(keyid=keyid, alg=alg, thumbprint=key.thumbprint, jwk=key, _material=material)

    def verify(self, base: bytes, signature: bytes) -> None:
        """Check a signature over `base`. Raises SignatureInvalid."""
        if isinstance(self._material, bytes):
            verify_ed25519(self._material, base, signature)
        else:
            verify_p256(self._material, base, signature)


@dataclass(frozen=True, slots=True)
class CoveredList:
    """A component list that the profile allows: names in order, the lines' beginnings, the canonical text."""

    names: tuple[str, ...]
    prefixes: tuple[tuple[str, str], ...]
    as_set: frozenset[str]
    text: str


def parse_app_signature(request: SignedRequest) -> UnverifiedSignature:
    """Find the app signature of a request, check its form and coverage, and rebuild its base.

    Raises SignatureMissing when the request carries no app signature at all, SignatureInvalid for any other
    fault.
    """
    input_lines, signature_lines = request.field_lines("signature-input"), request.field_lines("signature")
    if not input_lines and not signature_lines:
        raise SignatureMissing("the request is not signed")
    covered, parameters, text, signature = _read_fast(input_lines, signature_lines) or _read_general(
        input_lines, signature_lines
    )
    _check_signature_parameters(parameters)
    _check_coverage(covered.as_set, request)
    return UnverifiedSignature(
        keyid=parameters["keyid"],  # type: ignore[arg-type]  # types were checked above
        nonce=parameters["nonce"],  # type: ignore[arg-type]
        created=parameters["created"],  # type: ignore[arg-type]
        expires=parameters["expires"],  # type: ignore[arg-type]
        alg=parameters.get("alg"),  # type: ignore[arg-type]
        covered=covered.names,
        base=app_signature_base(request, covered, text),
        signature=signature,
    )


def check_window(signature: UnverifiedSignature, *, now: float, window: Window) -> None:
    """Whether the signature is inside its time window at Unix time `now`. Raises ClockSkew."""
    window.check(created=signature.created, expires=signature.expires, now=now)


def verify_app_signature(signature: UnverifiedSignature, key: DeviceKey) -> VerifiedSignature:
    """Check the signature with the registered key of its `keyid`. Raises SignatureInvalid."""
    if signature.keyid != key.keyid:
        raise SignatureInvalid("key of another id")
    if signature.alg is not None and signature.alg != key.alg:
        raise SignatureInvalid("`alg` differs from the registered key's algorithm")
    key.verify(signature.base, signature.signature)
    return VerifiedSignature(
        keyid=key.keyid,
        nonce=signature.nonce,
        created=signature.created,
        expires=signature.expires,
        alg=key.alg,
        thumbprint=key.thumbprint,
        covered=signature.covered,
    )


def app_signature_base(request: SignedRequest, covered: CoveredList, parameters_text: str) -> bytes:
    """The signature base of `request` for an allowed component list. Raises SignatureInvalid."""
    derived = {
        "@method": request.method,
        "@authority": request.authority,
        "@path": request.path or "/",
        "@query": f"?{request.query or ''}",
    }
    lines = []
    for name, prefix in covered.prefixes:
        value = derived.get(name)
        if value is None:
            values = request.field_lines(name)
            if len(values) == 1:
                value = values[0].strip(" \t")
            elif values and name.startswith("accept"):
                value = ", ".join(line.strip(" \t") for line in values)
            else:
                raise SignatureInvalid(f"covered field {name!r} is absent or given more than once")
        lines.append(prefix + value)
    return join_base(lines, parameters_text)


def allowed_components(components: Sequence[Item]) -> CoveredList:
    """Check a component list against the profile, as far as no request is needed. Raises SignatureInvalid."""
    if len(components) > MAX_COVERED:
        raise SignatureInvalid(f"more than {MAX_COVERED} components")
    check_components(components)
    names = []
    for name, parameters in components:
        if parameters:
            raise SignatureInvalid("component parameters are not used")
        if not isinstance(name, str) or (name not in REQUIRED_ALWAYS and not _FIELD_NAME.fullmatch(name)):
            raise SignatureInvalid("component that the app channel does not know")
        names.append(name)
    as_set = frozenset(names)
    if not as_set >= REQUIRED_ALWAYS:
        raise SignatureInvalid("a required derived component is not covered")
    text = serialize_inner_list(list(components), {})
    prefixes = tuple((name, f'"{name}": ') for name in names)
    return CoveredList(names=tuple(names), prefixes=prefixes, as_set=as_set, text=text)


_Read = tuple[CoveredList, Mapping[str, object], str, bytes]


def _read_fast(input_lines: Sequence[str], signature_lines: Sequence[str]) -> _Read | None:
    """Read the canonical spelling of a single signature; None when it is anything else."""
    if len(input_lines) != 1 or len(signature_lines) != 1 or len(input_lines[0]) > 4096:
        return None
    found = _FAST_INPUT.fullmatch(input_lines[0])
    signature = _FAST_SIGNATURE.fullmatch(signature_lines[0])
    if found is None or signature is None or found[1] != signature[1]:
        return None
    list_text, tail = found[2], found[3]
    pairs = _FAST_PARAMETER.findall(tail)
    parameters = {name: int(digits) if digits else string for name, digits, string in pairs}
    if len(parameters) != len(pairs) or parameters.get("tag") != TAG:
        return None
    covered = _covered_of_text(list_text)
    if covered is None:
        return None
    return covered, parameters, list_text + tail, a2b_base64(signature[2])


@lru_cache(maxsize=256)
def _covered_of_text(list_text: str) -> CoveredList | None:
    """The allowed component list with exactly this canonical text, or None: the general parser decides."""
    try:
        components, _ = parse_dictionary(f"a={list_text}")["a"]
        covered = allowed_components(components) if isinstance(components, list) else None
    except (ValueError, SignatureInvalid):
        return None
    return covered if covered is not None and covered.text == list_text else None


def _read_general(input_lines: Sequence[str], signature_lines: Sequence[str]) -> _Read:
    """Read any spelling and any number of signatures, and pick ours by its tag."""
    ours = [
        found
        for found in parse_signatures(input_lines, signature_lines)
        if found.unverified_parameters.get("tag") == TAG
    ]
    if not ours:
        raise SignatureMissing("no signature of the app channel")
    if len(ours) > 1:
        raise SignatureInvalid("two signatures of the app channel")
    found = ours[0]
    covered = allowed_components(found.components)
    return covered, found.unverified_parameters, found.parameters_text, found.signature


def _check_signature_parameters(parameters: Mapping[str, object]) -> None:
    names = parameters.keys()
    if not names >= _MANDATORY or not names <= _PARAMETERS:
        raise SignatureInvalid("a signature parameter is missing or unknown")
    keyid, nonce = parameters["keyid"], parameters["nonce"]
    if not isinstance(keyid, str) or not is_key_id(keyid):
        raise SignatureInvalid("malformed keyid")
    if not isinstance(nonce, str) or _NONCE.fullmatch(nonce) is None:
        raise SignatureInvalid("the nonce is not 16 to 64 characters of base64url")


def _check_coverage(covered: frozenset[str], request: SignedRequest) -> None:
    if request.has_body and not covered >= REQUIRED_WITH_BODY:
        raise SignatureInvalid("a body without covered digest and type")
    for name in REQUIRED_WHEN_PRESENT:
        if name not in covered and request.field_lines(name):
            raise SignatureInvalid(f"{name!r} is present but not covered")
