"""Faults of requests and forms, beside those of the policy language: codes, values, English texts.

What a person at the console can meet has a code, so that it can be told in their language; what only programs meet
(headers, tokens, media types of the API) is plain English.
"""

from collections.abc import Mapping
from typing import Final

from haetae_policy.faults import Fault, fault_of

API_FAULTS: Final[Mapping[str, str]] = {
    # fields
    "lasts": "must be 1 to {most} seconds, and stand alone without expires",
    "hard_stays": "ends only by being taken back",
    "expires_later": "must be later than now, on a whole second",
    "kind": "is one of {kinds}",
    "value": "has 1 to {most} printable characters",
    "form_number": "must be a whole number",
    "form_version": "names no version",
    "given": "must be given",
    "judged_person": "a person made this policy; take it back instead",
    "judged_nothing": "this policy does not say which decision made it",
    # whole requests
    "policy_invalid": "the policy is not valid",
    "subject_unknown": "no such subject",
    "hard_no_exception": "a hard block has no exceptions",
    "second_person_extends": "a policy that took a second person is extended by an approver who did not ask for it",
    "version_is": "the policy is at version {version}",
    "waiting_full": "too many policies wait for a second person; decide about those first",
    "another_approves": "another person than asked has to approve",
    "expired_waiting": "the policy has expired while it waited",
    "nothing_waits": "nothing waits under this identifier (any more)",
    "ended": "the policy has ended",
    "missing": "there is no such policy",
    "expired": "the policy has expired",
    "full": "the subject carries as many policies as it may",
    "changed": "somebody else was faster",
    "same": "this was done before",
    "impossible": "the change is not possible any more",
    "form_large": "the form is too large",
    "form_unreadable": "the form cannot be read",
    "form_twice": "a field came twice",
    "form_incomplete": "the form is not complete",
    "choose": "choose 1 to {most} policies",
    "detector_unknown": "there is no such detector",
    "not_judged": "this cannot be judged",
    "changes_fast": "the policy changes faster than it can be taken back; the judgement is stored",
    "page_old": "the page is too old or not yours; load it again",
    "not_a_form": "the console's forms are sent as {kind}",
    "other_site": "changes are not taken from pages of other sites",
    "no_origin": "the browser did not say which page sent this",
    "people_only": "the console is for people",
    "role_needed": "this needs the role {role}",
    "address_bad": "this address names no page",
    "policy_unknown": "there is and was no such policy",
    "watchers_full": "too many watch the console",
    "trail_broken": "the audit trail is not whole: {where}",
}


def said(code: str, **values: object) -> Fault:
    """Return the fault with this code; raises KeyError for one that is not in the table."""
    return fault_of(API_FAULTS, code, values)
