"""The address that ends the session at the provider (OpenID Connect RP-Initiated Logout 1.0 section 2).

Rules kept: the ID token goes along as a hint, so that the provider need not ask which session is meant; the client id
too, because a provider may be unable to read an old ID token.

Not done here: ending our own session, which comes first; guarding the logout endpoint against other sites.
"""

from dataclasses import dataclass, field
from typing import Final

from authlib.common.urls import add_params_to_uri

#: Longer hints are left out: the address has to fit a request line. The provider then asks the person.
MAX_HINT_CHARS: Final = 6000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutHint:
    """What the provider needs to know about the session to end."""

    endpoint: str
    client_id: str
    id_token: str = field(repr=False)

    def url(self, post_logout_redirect_uri: str, state: str) -> str:
        """The logout address; `state` comes back unchanged with the browser."""
        params = [
            ("client_id", self.client_id),
            ("post_logout_redirect_uri", post_logout_redirect_uri),
            ("state", state),
        ]
        if len(self.id_token) <= MAX_HINT_CHARS:
            params.insert(0, ("id_token_hint", self.id_token))
        return str(add_params_to_uri(self.endpoint, params))
