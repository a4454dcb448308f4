"""Fraud detection: the behaviour-event vocabulary, and the engine that turns events into decisions."""

from haetae_fds.decision import Action, Api, Decision, Mode, Number, Op, Subject
from haetae_fds.engine import Engine
from haetae_fds.errors import SettingsInvalid, StateUnreadable
from haetae_fds.event import SCHEMA_VERSION, Event, EventInvalid, decode_event, encode_event
from haetae_fds.finding import Detector, Finding, Scorer
from haetae_fds.flat import event_of, read_flat
from haetae_fds.replay import Replay, explain
from haetae_fds.settings import DetectorSettings, EngineSettings, read_settings
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
    "Action",
    "Api",
    "AuthOutcome",
    "BodyOutcome",
    "Decision",
    "Detector",
    "DetectorSettings",
    "Engine",
    "EngineSettings",
    "Event",
    "EventInvalid",
    "Finding",
    "Mode",
    "NetworkKind",
    "NonceOutcome",
    "Number",
    "Op",
    "PolicyOutcome",
    "Replay",
    "Scorer",
    "SettingsInvalid",
    "SignatureOutcome",
    "StateUnreadable",
    "Subject",
    "decode_event",
    "encode_event",
    "event_of",
    "explain",
    "read_flat",
    "read_settings",
]
