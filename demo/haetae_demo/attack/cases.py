"""Every case that can be played: the attacks and the honest hard days, each by name, with what it is.

A new case is one function and one line here. Each also runs everybody's plain traffic beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from haetae_demo.attack import guessing, mixed, probing, taking, trouble
from haetae_demo.attack.day import Scripts
from haetae_demo.attack.town import Town


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case. `hostile` cases must be stopped; the others must be left alone."""

    name: str
    hostile: bool
    plan: Callable[[Town], Scripts]

    @property
    def summary(self) -> str:
        """One line about it."""
        return (self.plan.__doc__ or "").strip().split("\n")[0]


def plain(town: Town) -> Scripts:
    """Nothing at all happens."""
    del town
    return []


_ATTACKS = (
    guessing.brute_force_one_source,
    guessing.brute_force_many_sources,
    guessing.brute_force_slow,
    guessing.stuffing_one_address,
    guessing.stuffing_rotating,
    guessing.stuffing_distributed,
    guessing.stuffing_mimic,
    guessing.stuffing_slow,
    guessing.stuffing_in_carrier,
    guessing.spraying,
    guessing.spraying_slow,
    guessing.account_search,
    guessing.account_search_from_a_net,
    taking.object_search,
    taking.object_sweep,
    taking.scraping_fast,
    taking.scraping_slow,
    taking.scraping_anonymous,
    taking.flood,
    taking.takeover,
    taking.takeover_after_guessing,
    taking.stolen_session,
    taking.mass_sign_up,
    taking.mass_sign_up_by_proxies,
    probing.replay,
    probing.replay_of_many,
    probing.bad_signatures,
    probing.forged_crowd,
    probing.forged_victims,
    probing.forged_neighbours,
    probing.decrypt_probing,
    probing.app_analysis,
    probing.scanner,
    probing.decoy,
    mixed.replay_in_retry_storm,
    mixed.forgery_in_broken_release,
    mixed.stuffing_in_new_login_wave,
    mixed.takeover_among_new_phones,
    mixed.scraping_in_flash_sale,
)
_HONEST = (
    plain,
    trouble.expired_password,
    trouble.office_rush,
    trouble.carrier_evening,
    trouble.retry_storm,
    trouble.broken_release,
    trouble.key_rotation,
    trouble.flash_sale,
    trouble.travellers,
    trouble.power_users,
    trouble.partner_batch,
    trouble.new_phones,
    trouble.forgetful,
    trouble.everyone_again,
    trouble.school_sign_up,
)
CASES: dict[str, Case] = {
    plan.__name__: Case(name=plan.__name__, hostile=hostile, plan=plan)
    for plans, hostile in ((_ATTACKS, True), (_HONEST, False))
    for plan in plans
}
