"""Attacks on honest hard days: when the crowd looks like the attack, the attack hides in the crowd.

Each function plans one campaign beside one trouble; people must be left alone and the campaign must still be stopped.
"""

from __future__ import annotations

from haetae_demo.attack import guessing, probing, taking, trouble
from haetae_demo.attack.day import Scripts
from haetae_demo.attack.town import Town


def replay_in_retry_storm(town: Town) -> Scripts:
    """An upstream fails and everybody retries; somebody replays captured payments meanwhile."""
    return [*trouble.retry_storm(town), *probing.replay_of_many(town)]


def forgery_in_broken_release(town: Town) -> Scripts:
    """The newest build signs wrongly; somebody forges a crowd of devices of that build."""
    return [*trouble.broken_release(town), *probing.forged_crowd(town)]


def stuffing_in_new_login_wave(town: Town) -> Scripts:
    """Everybody logs in again after an outage; somebody tries a leaked list that looks like the popular app."""
    return [*trouble.everyone_again(town), *guessing.stuffing_mimic(town)]


def takeover_among_new_phones(town: Town) -> Scripts:
    """The new model is out; some of the new telephones are thieves'."""
    return [*trouble.new_phones(town), *taking.takeover(town)]


def scraping_in_flash_sale(town: Town) -> Scripts:
    """A sale begins; somebody takes the whole catalogue with twenty accounts."""
    return [*trouble.flash_sale(town), *taking.scraping_slow(town)]
