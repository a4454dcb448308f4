"""The rules of an OpenID Connect relying party: bytes and facts in, verdict out."""

from haetae_oidc.relying_party.end_session import LogoutHint
from haetae_oidc.relying_party.settings import ProviderSettings

__all__ = ["LogoutHint", "ProviderSettings"]
