"""Staff sessions: what they are, how long they live, how they are sealed."""

from haetae_oidc.session.model import Begun, EndedSession, Finished, Loaded, StaffSession
from haetae_oidc.session.settings import SessionSettings

__all__ = ["Begun", "EndedSession", "Finished", "Loaded", "SessionSettings", "StaffSession"]
