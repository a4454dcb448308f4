"""The behaviour-event vocabulary: what the gateway tells fraud detection about one finished request."""

from haetae_fds.event import SCHEMA_VERSION, Event, EventInvalid, decode_event, encode_event
from haetae_fds.words import (
    AuthOutcome,
    BodyOutcome,
    NetworkKind,
    NonceOutcome,
    PolicyOutcome,
    SignatureOutcome,
)

__all__ = [
    "SCHEMA_VERSION",
    "AuthOutcome",
    "BodyOutcome",
    "Event",
    "EventInvalid",
    "NetworkKind",
    "NonceOutcome",
    "PolicyOutcome",
    "SignatureOutcome",
    "decode_event",
    "encode_event",
]
