"""HTTP Message Signatures (RFC 9421), the general part: reading the two fields, signing, verifying.

Rules kept:
- `Signature-Input` and `Signature` are Dictionaries whose labels match one to one (section 4); every member
  is an Inner List of strings, or a byte sequence. Nothing is named twice.
- The last line of the base is the strict re-serialisation of the received Inner List (section 2.3), so two
  spellings of one signature have one base.
- `created` and `expires` are integers; `nonce`, `keyid`, `alg` and `tag` are strings; no component is covered
  twice, whatever the order of its parameters; `@signature-params` is never covered.

Not done here: policy. Which tag, components, ages, algorithms and keys count is the profile's matter
(`app_channel`); nothing here says that a signature is *sufficient*.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from haetae_crypto.components import Message, signature_base
from haetae_crypto.errors import SignatureInvalid
from haetae_crypto.structured import Item, Parameters, join_lines, parse_dictionary, serialize_inner_list

MAX_FIELD_CHARS: Final = 4096
"""Of each of the two fields. Reading the worst text of this length costs about 2 ms."""
MAX_SIGNATURES: Final = 8
MAX_COMPONENTS: Final = 64
_INTEGERS: Final = ("created", "expires")
_STRINGS: Final = ("nonce", "keyid", "alg", "tag")

Verify = Callable[[bytes, bytes], None]
"""Checks (base, signature) with one key and one algorithm; raises SignatureInvalid."""
Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class UnverifiedMessageSignature:
    """One labelled signature as it arrived; `parameters_text` is its canonical Inner List."""

    label: str
    components: tuple[Item, ...]
    unverified_parameters: Parameters
    parameters_text: str
    signature: bytes


def parse_signatures(
    input_lines: Sequence[str], signature_lines: Sequence[str]
) -> tuple[UnverifiedMessageSignature, ...]:
    """All signatures of a message, from the lines of `Signature-Input` and `Signature`.

    Raises SignatureInvalid when a field is absent or malformed, or when the labels do not match.
    """
    try:
        inputs = parse_dictionary(join_lines(input_lines, max_chars=MAX_FIELD_CHARS))
        signatures = parse_dictionary(join_lines(signature_lines, max_chars=MAX_FIELD_CHARS))
    except (ValueError, IndexError):
        raise SignatureInvalid("Signature-Input or Signature is absent or malformed") from None
    if not inputs or inputs.keys() != signatures.keys() or len(inputs) > MAX_SIGNATURES:
        raise SignatureInvalid("labels of Signature-Input and Signature differ, or are too many")
    return tuple(_read_member(label, inputs[label], signatures[label]) for label in inputs)


def _read_member(label: str, member: Item, signature_member: Item) -> UnverifiedMessageSignature:
    components, parameters = member
    signature = signature_member[0]
    if not isinstance(components, list) or type(signature) is not bytes or signature_member[1]:
        raise SignatureInvalid("a signature needs an inner list and a byte sequence")
    check_components(components)
    check_parameters(parameters)
    return UnverifiedMessageSignature(
        label=label,
        components=tuple(components),
        unverified_parameters=parameters,
        parameters_text=serialize_inner_list(components, parameters),
        signature=signature,
    )


def check_components(components: Sequence[Item]) -> None:
    """Section 2: names are lower-case strings, none covered twice. Raises SignatureInvalid."""
    if len(components) > MAX_COMPONENTS:
        raise SignatureInvalid(f"more than {MAX_COMPONENTS} components")
    seen = set()
    for name, parameters in components:
        if type(name) is not str or not name or name != name.lower() or name == "@signature-params":
            raise SignatureInvalid("malformed component name")
        identity = (name, frozenset((key, str(value)) for key, value in parameters.items()))
        if identity in seen:
            raise SignatureInvalid("component covered twice")
        seen.add(identity)


def check_parameters(parameters: Parameters) -> None:
    """Section 2.3: the types of the registered parameters. Raises SignatureInvalid."""
    for name in _INTEGERS:
        if name in parameters and type(parameters[name]) is not int:
            raise SignatureInvalid(f"{name!r} is not an integer")
    for name in _STRINGS:
        if name in parameters and type(parameters[name]) is not str:
            raise SignatureInvalid(f"{name!r} is not a string")


def verify_message(signature: UnverifiedMessageSignature, message: Message, verify: Verify) -> None:
    """Rebuild the base from `message` and check it with a key the caller chose. Raises SignatureInvalid."""
    verify(signature_base(signature.components, signature.parameters_text, message), signature.signature)


def sign_message(
    message: Message,
    *,
    components: Sequence[Item],
    parameters: Mapping[str, object],
    label: str,
    sign: Sign,
) -> tuple[str, str]:
    """The values of `Signature-Input` and `Signature` for one signature. Raises SignatureInvalid."""
    check_components(components)
    check_parameters(parameters)
    try:
        text = serialize_inner_list(list(components), parameters)
    except ValueError:
        raise SignatureInvalid("a parameter cannot be written as a Structured Field") from None
    return format_signature(label, text, sign(signature_base(components, text, message)))


def format_signature(label: str, parameters_text: str, signature: bytes) -> tuple[str, str]:
    """The values of `Signature-Input` and `Signature` for one finished signature."""
    return f"{label}={parameters_text}", f"{label}=:{base64.b64encode(signature).decode('ascii')}:"
