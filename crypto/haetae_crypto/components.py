"""Values of covered components (RFC 9421 section 2) and the signature base made of them (section 2.5).

Rules kept: an absent field, an unknown derived component, an unknown parameter, a query parameter that occurs
twice or a value that cannot stand on one ASCII line is an error, never an empty string. Any failure aborts
the base.

Trailers (`tr`) are always refused: the servers at hand never show them.

Not done here: which components a signature must cover; that is the application's profile (`app_channel`).
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote

from haetae_crypto.errors import SignatureInvalid
from haetae_crypto.structured import (
    Item,
    Parameters,
    parse_dictionary,
    reserialize,
    serialize_member,
    serialize_parameters,
)

STRUCTURED_FIELDS: Final[Mapping[str, str]] = {
    "accept-signature": "dictionary",
    "cache-status": "list",
    "content-digest": "dictionary",
    "haetae-key": "item",
    "priority": "dictionary",
    "repr-digest": "dictionary",
    "signature": "dictionary",
    "signature-input": "dictionary",
    "want-content-digest": "dictionary",
    "want-repr-digest": "dictionary",
}
"""Fields whose structured type is known here, as `;sf` and `;key` need (section 2.1.1)."""

MAX_QUERY_PARAMETERS: Final = 200
_LINE_BYTES: Final = bytes([0x09, 0x0A, *range(0x20, 0x7F)])
_OBS_FOLD = re.compile(r"[ \t]*\r?\n[ \t]+")
_FLAGS: Final = frozenset({"sf", "bs", "req", "tr"})
_TEXTS: Final = frozenset({"key", "name"})


@dataclass(frozen=True, slots=True)
class Message:
    """The facts of a request or a response that components are made of.

    `fields` maps lower-case names to their lines in order. `query` is raw without `?`, None when there is no
    `?`. A response has a `status` and may carry the `request` it answers.
    """

    method: str | None = None
    scheme: str | None = None
    authority: str | None = None
    path: str | None = None
    query: str | None = None
    request_target: str | None = None
    status: int | None = None
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    request: "Message | None" = None
    structured: Mapping[str, str] = field(default_factory=lambda: STRUCTURED_FIELDS)


def signature_base(components: Sequence[Item], parameters_text: str, message: Message) -> bytes:
    """The bytes that are signed: one line for each component, then the signature parameters.

    `parameters_text` is the canonical Inner List text. Raises SignatureInvalid when a component has no value.
    """
    lines = []
    for name, parameters in components:
        if not isinstance(name, str):
            raise SignatureInvalid("component names are strings")
        identifier = f'"{name}"{serialize_parameters(parameters)}'
        lines.append(f"{identifier}: {component_value(name, parameters, message)}")
    return join_base(lines, parameters_text)


def join_base(lines: list[str], parameters_text: str) -> bytes:
    """The base made of finished component lines. Raises SignatureInvalid unless printable ASCII."""
    text = "\n".join([*lines, f'"@signature-params": {parameters_text}'])
    try:
        base = text.encode("ascii")
    except UnicodeEncodeError:
        raise SignatureInvalid("a covered value is not ASCII") from None
    if base.translate(None, _LINE_BYTES) or base.count(b"\n") != len(lines):
        raise SignatureInvalid("a covered value has a control character")
    return base


def component_value(name: str, parameters: Parameters, message: Message) -> str:
    """The value of one component. Raises SignatureInvalid when it has none."""
    _check_parameters(parameters)
    if "tr" in parameters:
        raise SignatureInvalid("trailers are not available")
    if "req" in parameters:
        if message.status is None or message.request is None:
            raise SignatureInvalid("`req` without a request behind the response")
        message = message.request
    if name.startswith("@"):
        return _derived_value(name, parameters, message)
    return _field_value(name, parameters, message)


def _check_parameters(parameters: Parameters) -> None:
    for name, value in parameters.items():
        flag, text = name in _FLAGS and value is True, name in _TEXTS and type(value) is str
        if not flag and not text:
            raise SignatureInvalid(f"unknown or malformed component parameter {name!r}")


def _field_value(name: str, parameters: Parameters, message: Message) -> str:
    lines = message.fields.get(name, ())
    if not lines:
        raise SignatureInvalid(f"covered field {name!r} is absent")
    values = [_OBS_FOLD.sub(" ", line).strip(" \t") for line in lines]
    if "name" in parameters:
        raise SignatureInvalid("`name` does not apply to fields")
    if "bs" in parameters:
        if "sf" in parameters or "key" in parameters:
            raise SignatureInvalid("`bs` excludes `sf` and `key`")
        # Latin-1 gives back the bytes that were on the wire (RFC 9110 section 5.5).
        return ", ".join(f":{base64.b64encode(_octets(value)).decode('ascii')}:" for value in values)
    joined = ", ".join(values)
    if "sf" not in parameters and "key" not in parameters:
        return joined
    return _structured_value(name, parameters, joined, message.structured.get(name))


def _structured_value(name: str, parameters: Parameters, value: str, kind: str | None) -> str:
    if kind is None:
        raise SignatureInvalid(f"the structured type of {name!r} is not known")
    try:
        if "key" not in parameters:
            return reserialize(value, kind)
        if kind != "dictionary":
            raise SignatureInvalid(f"{name!r} is not a dictionary")
        return serialize_member(parse_dictionary(value)[str(parameters["key"])])
    except (ValueError, KeyError):
        raise SignatureInvalid(f"{name!r} does not parse or lacks the member") from None


def _octets(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise SignatureInvalid("a field value is not made of bytes") from None


def _derived_value(name: str, parameters: Parameters, message: Message) -> str:
    if name == "@query-param":
        if set(parameters) - {"req"} != {"name"}:
            raise SignatureInvalid("@query-param needs exactly a name")
        return _query_parameter(message, str(parameters["name"]))
    if set(parameters) - {"req"}:
        raise SignatureInvalid("derived components take no parameter of fields")
    derive = _DERIVED.get(name)
    value = derive(message) if derive is not None else None
    # A response has only @status of its own, a request never has it.
    if value is None or (message.status is not None) is not (name == "@status"):
        raise SignatureInvalid(f"no value for {name!r} here")
    return value


def _query_parameter(message: Message, name: str) -> str:
    if message.query is None:
        raise SignatureInvalid("no query")
    try:
        pairs = parse_qsl(message.query, keep_blank_values=True, errors="replace", max_num_fields=MAX_QUERY_PARAMETERS)
    except ValueError:
        raise SignatureInvalid("too many query parameters") from None
    values = [value for key, value in pairs if _form_encode(key) == name]
    if len(values) != 1:
        raise SignatureInvalid("query parameter absent or given twice")
    return _form_encode(values[0])


def _form_encode(text: str) -> str:
    """Section 2.2.8: the form-urlencoded percent-encode set, with space as %20."""
    return quote(text, safe="*").replace("~", "%7E")


def _target_uri(message: Message) -> str | None:
    if message.scheme is None or message.authority is None:
        return None
    query = "" if message.query is None else f"?{message.query}"
    return f"{message.scheme}://{message.authority}{message.path or '/'}{query}"


_DERIVED: Final[Mapping[str, Callable[[Message], str | None]]] = {
    "@method": lambda message: message.method,
    "@target-uri": _target_uri,
    "@authority": lambda message: message.authority,
    "@scheme": lambda message: message.scheme,
    "@request-target": lambda message: message.request_target,
    "@path": lambda message: message.path or "/",
    "@query": lambda message: f"?{message.query or ''}",
    "@status": lambda message: None if message.status is None else str(message.status),
}
