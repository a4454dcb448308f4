"""What can be wrong with a field, as a stable code with its values: programs and translations go by the code.

A fault is its English text, so that whoever only wants to show it needs to know nothing; one table holds the texts.
Does not translate: the console has a table of its own under the same codes.
"""

from collections.abc import Mapping
from typing import Final

FAULTS: Final[Mapping[str, str]] = {
    # any field
    "required": "is required",
    "unknown": "unknown field",
    "object": "must be an object",
    "text": "must be a text of 1 to {limit} characters without spaces around it",
    "invisible": "must not hold control or invisible characters",
    "flag": "must be true or false",
    "whole_number": "must be a whole number from {low} to {high}",
    "choice": "must be one of {choices}",
    "time": "is required as whole seconds in UTC, like 2026-05-01T10:00:00Z",
    "texts": "must be a list of at most {most} texts of 1 to {limit} characters",
    "set_by_service": "is set by the service",
    # single fields
    "policy_id": "must be pol_ and a ULID in upper case",
    "why_code": "must be a short code of a-z, 0-9, _, . and -",
    "gateway_name": "must be a gateway's name",
    "route_id": "must be a route's id",
    "method": "must be an HTTP method in capitals",
    "hard_blocks_only": "only a block can be hard",
    "expires_order": "must be later than created and changed",
    "another_approver": "must be another person than the source",
    "rate_required": "is required for a throttle",
    "rate_throttles_only": "only a throttle has a rate",
    "evidence_shape": "must be an object of at most {nodes} values in {levels} levels",
    "evidence_json": "must hold JSON values only",
    "evidence_bytes": "must be at most {bytes} bytes",
    # rules of an installation
    "lifetime": "at most {days} days ahead",
    "second_person": "a policy for everyone needs a second person's approval",
    "protected_network": "a machine may not name the protected network {network}",
    "protected_subject": "a machine may not name this {kind}",
    # addresses and networks
    "address": "not an IP address",
    "prefix_number": "the prefix length must be a plain number",
    "prefix_most": "the prefix length must be at most {bits}",
    "mapped": "write IPv4 networks as IPv4",
    "host_bits": "host bits are set; the network is {network}",
    # path patterns
    "path_segments": "at most {most} segments",
    "path_length": "at most {most} characters",
    "path_characters": "must start with / and hold only URL path characters, * and {{name}}",
    "path_empty": "empty segments never occur in a normalised path",
    "path_escape": "percent escapes are two upper-case digits, and only where needed",
    "path_twice": "the name {name} is used twice",
    "path_variable": "{{name}} stands for one whole segment, without a regular expression",
    "path_rest": "** may only be the whole last segment",
    "path_dots": "dot segments never occur in a normalised path",
}


class Fault(str):
    """An English text that knows which fault it tells of: `code`, and the `values` that stand in it."""

    __slots__ = ("code", "values")
    code: str
    values: Mapping[str, object]


def fault(code: str, **values: object) -> Fault:
    """Return the fault with this code; raises KeyError for one that is not in the table."""
    return fault_of(FAULTS, code, values)


def fault_of(table: Mapping[str, str], code: str, values: Mapping[str, object]) -> Fault:
    """Return a fault of another table of texts, in the form of `FAULTS`."""
    made = Fault(table[code].format(**values))
    made.code, made.values = code, values
    return made
