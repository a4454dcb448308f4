"""haetae_policy: the block-policy language, its compiled table, and the feed that keeps tables in step.

I/O lives in `haetae_policy.io`; nothing here opens a socket or reads a clock.
"""

from haetae_policy.changes import Change, Delete, Put
from haetae_policy.errors import (
    AddressInvalid,
    FeedCorrupt,
    PathPatternInvalid,
    PolicyConflict,
    PolicyError,
    PolicyInvalid,
    PolicyNotFound,
    Problem,
    RecordUnreadable,
    ReferenceInvalid,
    StoreUnavailable,
    TooManyPolicies,
)
from haetae_policy.facts import ApiFacts, Facts, Verdict
from haetae_policy.feed import FeedFollower, FeedState
from haetae_policy.identifiers import format_policy_id, make_policy_id, parse_policy_id
from haetae_policy.model import Action, Api, Mode, Policy, Rate, Source, SourceKind, Subject
from haetae_policy.network import Network, address_key, address_text, packed_address_key, parse_network
from haetae_policy.parse import parse_new_policy, parse_policy, read_policy
from haetae_policy.paths import PathMatcher, compile_path
from haetae_policy.protected import Protected, parse_protected
from haetae_policy.record import Record, decode_record, encode_record, record_of
from haetae_policy.reference import ReferenceMaker
from haetae_policy.rules import Rules
from haetae_policy.table import PolicyTable
from haetae_policy.throttle import TokenBuckets

__all__ = [
    "Action",
    "AddressInvalid",
    "Api",
    "ApiFacts",
    "Change",
    "Delete",
    "Facts",
    "FeedCorrupt",
    "FeedFollower",
    "FeedState",
    "Mode",
    "Network",
    "PathMatcher",
    "PathPatternInvalid",
    "Policy",
    "PolicyConflict",
    "PolicyError",
    "PolicyInvalid",
    "PolicyNotFound",
    "PolicyTable",
    "Problem",
    "Protected",
    "Put",
    "Rate",
    "Record",
    "RecordUnreadable",
    "ReferenceInvalid",
    "ReferenceMaker",
    "Rules",
    "Source",
    "SourceKind",
    "StoreUnavailable",
    "Subject",
    "TokenBuckets",
    "TooManyPolicies",
    "Verdict",
    "address_key",
    "address_text",
    "compile_path",
    "decode_record",
    "encode_record",
    "format_policy_id",
    "make_policy_id",
    "packed_address_key",
    "parse_network",
    "parse_new_policy",
    "parse_policy",
    "parse_policy_id",
    "parse_protected",
    "read_policy",
    "record_of",
]
