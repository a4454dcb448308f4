"""What the session store does in one step. Each script touches one key, so that they also run on a cluster.

A session is a hash: `c` the sealed record, `n` its version, `i` the idle end (Unix seconds), `p` the present secret
sealed with the previous one, `q` when the previous one ends ("0": not before its successor is used), `f` the fencing
number of refreshes, `l` until when one is under way (milliseconds of the store's own clock).

Not done here: sealing; see `haetae_oidc/session`.
"""

from hashlib import sha1
from typing import Final


class Script:
    """A Lua script and its digest."""

    __slots__ = ("sha", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()


# ARGV field sealed-login sealed-return most ttl_ms now ; a login is two fields, `s<key>` and `r<key>`, and `t<key>`
# says when it began. Drops the oldest logins of this browser beyond `most`.
BEGIN_LOGIN: Final = Script("""
redis.call('HSET', KEYS[1], 's' .. ARGV[1], ARGV[2], 'r' .. ARGV[1], ARGV[3], 't' .. ARGV[1], ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
local all = redis.call('HGETALL', KEYS[1])
local begun = {}
for at = 1, #all, 2 do
  if string.sub(all[at], 1, 1) == 't' then
    table.insert(begun, {tonumber(all[at + 1]), string.sub(all[at], 2)})
  end
end
table.sort(begun, function(a, b) return a[1] < b[1] end)
for at = 1, #begun - tonumber(ARGV[4]) do
  local key = begun[at][2]
  if key ~= ARGV[1] then
    redis.call('HDEL', KEYS[1], 's' .. key, 'r' .. key, 't' .. key)
  end
end
return 1
""")

# ARGV field ; returns the sealed login once, and the sealed way home for as long as the login is remembered
CLAIM_LOGIN: Final = Script("""
local login = redis.call('HGET', KEYS[1], 's' .. ARGV[1])
redis.call('HDEL', KEYS[1], 's' .. ARGV[1])
return {login, redis.call('HGET', KEYS[1], 'r' .. ARGV[1])}
""")

# ARGV sealed idle_end ttl_ms
CREATE: Final = Script("""
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'c', ARGV[1], 'n', '1', 'i', ARGV[2], 'f', '0', 'l', '0')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")

# ARGV idle_end ttl_ms ; only ever later
TOUCH: Final = Script("""
local idle = redis.call('HGET', KEYS[1], 'i')
if idle and tonumber(idle) < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'i', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
return 0
""")

# ARGV version sealed previous ; a renewed ticket: replaces the record of that version and keeps the way from the old
# secret to the new one
RENEW: Final = Script("""
if redis.call('HGET', KEYS[1], 'n') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'c', ARGV[2], 'n', ARGV[1] + 1, 'p', ARGV[3], 'q', '0')
return 1
""")

# ARGV version end ; the renewed ticket was used: from `end` on the old one is worth nothing
CONFIRM: Final = Script("""
if redis.call('HGET', KEYS[1], 'n') == ARGV[1] and redis.call('HGET', KEYS[1], 'q') == '0' then
  redis.call('HSET', KEYS[1], 'q', ARGV[2])
  return 1
end
return 0
""")

# ARGV fence version sealed ; -2 no session, -1 another one is refreshing, 0 the record changed: read it again
REFRESHED: Final = Script("""
local now = redis.call('HMGET', KEYS[1], 'f', 'n')
if not now[2] then return -2 end
if now[1] ~= ARGV[1] then return -1 end
if now[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'c', ARGV[3], 'n', ARGV[2] + 1, 'l', '0')
return 1
""")

# ARGV ttl_ms ; the fencing number, 0 while another one is refreshing, -1 without a session
LOCK: Final = Script("""
local until_ms = redis.call('HGET', KEYS[1], 'l')
if not until_ms then return -1 end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if tonumber(until_ms) > now then return 0 end
redis.call('HSET', KEYS[1], 'l', string.format('%.0f', now + ARGV[1]))
return redis.call('HINCRBY', KEYS[1], 'f', 1)
""")

# ARGV fence ttl_ms ; 0 ms gives the lock back
HOLD: Final = Script("""
if redis.call('HGET', KEYS[1], 'f') ~= ARGV[1] then return 0 end
local clock = redis.call('TIME')
redis.call('HSET', KEYS[1], 'l', string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[2]))
return 1
""")

# ARGV fence-or-empty ; deletes the session, unless a later refresh took over
END: Final = Script("""
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'f') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")
