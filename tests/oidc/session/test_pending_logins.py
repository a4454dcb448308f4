"""A login under way opens for the browser that began it, also for somebody who has a copy of the store."""

import pytest
from haetae_oidc.errors import LoginStale
from haetae_oidc.session.pending import (
    PendingLogin,
    browser_key,
    login_key,
    open_login,
    open_return,
    seal_login,
    seal_return,
)

BROWSER, OTHER = "b" * 43, "c" * 43
LOGIN = PendingLogin(nonce="n", verifier="v", redirect_uri="https://t/cb", acr=("2",), max_age=60, started=1.0)
NONCE = bytes(12)


def test_login_and_way_home_open_for_their_state_and_browser_together() -> None:
    sealed = seal_login(LOGIN, state="s", browser=BROWSER, nonce=NONCE)
    home = seal_return("/app", state="s", browser=BROWSER, nonce=bytes(11) + b"1")
    assert open_login(sealed, state="s", browser=BROWSER) == LOGIN
    assert open_return(home, state="s", browser=BROWSER) == "/app"


@pytest.mark.parametrize(("state", "browser"), [("s", OTHER), ("t", BROWSER)], ids=["browser", "state"])
def test_copy_of_the_store_opens_nothing_to_who_lacks_the_browser_or_the_state(state: str, browser: str) -> None:
    sealed = seal_login(LOGIN, state="s", browser=BROWSER, nonce=NONCE)
    home = seal_return("/app", state="s", browser=BROWSER, nonce=NONCE)
    with pytest.raises(LoginStale):
        open_login(sealed, state=state, browser=browser)
    with pytest.raises(LoginStale):
        open_return(home, state=state, browser=browser)
    # A login is no way home, nor the other way round, though one secret seals both.
    with pytest.raises(LoginStale):
        open_return(sealed, state="s", browser=BROWSER)
    with pytest.raises(LoginStale):
        open_login(home, state="s", browser=BROWSER)


def test_store_names_a_login_by_state_and_browser_and_neither_can_be_read_from_the_name() -> None:
    names = {login_key(state, browser) for state in ("s", "t") for browser in (BROWSER, OTHER)}
    assert len(names) == 4
    assert not any(BROWSER in name for name in (*names, browser_key(BROWSER)))
