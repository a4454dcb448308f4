"""Whether the store keeps what it is told: without an append-only file a restart would forget blocks and the audit."""

from haetae_policy.errors import StoreUnavailable
from haetae_policy.io.commands import Commands
from redis.asyncio import Redis

from haetae_policy_api.errors import SettingsInvalid


async def require_durable(client: Redis, *, deadline_s: float = 2.0) -> None:
    """Raise SettingsInvalid, naming the setting to change, unless the store writes an append-only file."""
    commands = Commands(client, deadline_s=deadline_s)
    try:
        found = await commands.call("CONFIG", "GET", "appendonly")
    except StoreUnavailable as error:
        raise SettingsInvalid(
            f"cannot see whether the store is durable ({error}): allow this user CONFIG GET, and set: appendonly yes"
        ) from error
    pairs = found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))
    value = next((value for name, value in pairs.items() if name in (b"appendonly", "appendonly")), b"")
    if value not in (b"yes", "yes"):
        raise SettingsInvalid(
            "the store would forget policies in a restart; set in its configuration: appendonly yes"
            " (now: CONFIG SET appendonly yes)"
        )
