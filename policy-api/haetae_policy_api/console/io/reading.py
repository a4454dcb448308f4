"""Pages that show: overview, search, policies, one policy, cases, what waits, the audit trail."""

from typing import Any

from haetae_policy.audit import concerns
from haetae_policy.io.store import StoreSettings
from starlette.responses import Response

from haetae_policy_api.console import cases, search
from haetae_policy_api.console.io.live import hold_data
from haetae_policy_api.console.io.visit import Visit, texts_of
from haetae_policy_api.errors import Invalid, NotFound
from haetae_policy_api.faults import said
from haetae_policy_api.service import explain, listing, pending

PAGE = 50
KEPT_DAYS = StoreSettings().ended_s // 86_400
_HISTORY = 500


async def show_overview(visit: Visit) -> Response:
    """The first page."""
    live = await visit.desk.shared.overview(visit.context, now_ms=visit.now_ms)
    return visit.page("overview.html", live=live)


async def show_search(visit: Visit) -> Response:
    """What is known under a text."""
    text, kind = visit.query("q"), visit.query("kind")
    found = await search.look_up(visit.context, text, kind, now_ms=visit.now_ms) if text else []
    if len(found) == 1 and found[0]["kind"] == "policy":
        return visit.go(f"/policies/{found[0]['value']}")
    return visit.page("search.html", q=text, kind=kind, kinds=search.KINDS, found=found)


async def show_policies(visit: Visit) -> Response:
    """The table of policies in force."""
    filters = texts_of({name: visit.query(name) for name in listing.FILTERS})
    listed = await listing.list_policies(
        visit.context, filters=filters, limit=PAGE, after=visit.query("after") or None, now_ms=visit.now_ms
    )
    reached = await listing.convergence(visit.context, now_ms=visit.now_ms)
    template = "_listed.html" if visit.wants_piece else "policies.html"
    return visit.page(template, filters=filters, listed=listed, reached=reached)


async def show_policy(visit: Visit) -> Response:
    """One policy, in force or ended, or waiting."""
    policy_id = visit.request.path_params["policy_id"]
    policy = await explain.policy_in_any_state(visit.context, policy_id)
    waiting = None
    if policy is None:
        waiting = next((one for one in await pending.list_pending(visit.context) if one["id"] == policy_id), None)
        if waiting is None:
            raise NotFound(said("policy_unknown"))
        policy = {**waiting["policy"], "state": "pending"}
    hits = (await visit.context.refusals.hits([policy_id]))[policy_id]
    history = [
        told
        for entry in await visit.context.ledger.audit_page(limit=_HISTORY)
        if concerns(told := entry.to_dict(), policy_id)
    ]
    label = (await visit.desk.casebook.judged()).get(policy_id)
    held = await _hold(visit)
    return visit.page("policy.html", policy=policy, waiting=waiting, hits=hits, history=history, label=label, held=held)


async def _hold(visit: Visit) -> dict[str, Any] | None:
    """Return how far the change has come that the address names."""
    seq, since = visit.query("seq"), visit.query("since")
    if not seq:
        return None
    if not all(text.isascii() and text.isdigit() and len(text) <= 15 for text in (seq, since)):
        raise Invalid(said("address_bad"))
    held = await hold_data(visit, int(seq), int(since), now_ms=visit.now_ms)
    return {**held, "since_ms": int(since)}


async def show_cases(visit: Visit) -> Response:
    """What the fraud detection did: in force, or ended but still remembered; and what it only saw."""
    judged = await visit.desk.casebook.judged()
    if visit.query("state") == "ended":
        listed = await cases.ended_cases(visit.context, judged, limit=PAGE, before=_number(visit, "before"))
        return visit.page("cases.html", listed=listed, seen=[], tab="ended", kept_days=KEPT_DAYS)
    if visit.query("order") == "worth":
        listed = await cases.telling_cases(
            visit.context, judged, reviewer=visit.caller.name, limit=PAGE, now_ms=visit.now_ms
        )
        return visit.page("cases.html", listed=listed, seen=[], tab="worth", kept_days=KEPT_DAYS)
    listed = await cases.open_cases(
        visit.context, judged, limit=PAGE, after=visit.query("after") or None, now_ms=visit.now_ms
    )
    seen = cases.seen_only(await visit.desk.casebook.decisions())
    return visit.page("cases.html", listed=listed, seen=seen[:PAGE], tab="open", kept_days=KEPT_DAYS)


async def show_pending(visit: Visit) -> Response:
    """What waits for a second person."""
    return visit.page("pending.html", waiting=await pending.list_pending(visit.context))


async def show_audit(visit: Visit) -> Response:
    """Who changed what."""
    listed = await listing.audit_list(visit.context, before=_number(visit, "before"), limit=PAGE)
    return visit.page("audit.html", listed=listed)


def _number(visit: Visit, name: str) -> int | None:
    text = visit.query(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text)):
        raise Invalid(said("address_bad"))
    return int(text)


async def verify_audit(visit: Visit) -> Response:
    """Check the whole trail."""
    template = "_verified.html" if visit.wants_piece else "verified.html"
    return visit.page(template, verified=await listing.audit_verify(visit.context, anchor=None))
