"""The store's transactions, as Lua that runs inside Redis 7 or Valkey.

Each script touches only the keys it is given, all with one hash tag. Numbers stay below 2**53, where doubles are
exact; they are formatted with %.0f because Lua's own conversion keeps 14 digits only. The digest's arithmetic mirrors
`haetae_policy.digest`.
"""

from typing import Final

from haetae_policy.digest import BUCKET_MS, MODULUS
from haetae_policy.io.commands import Script

SHARED: Final = f"""
local BUCKET, MODULUS = {BUCKET_MS}, {MODULUS}
local function text(number) return string.format('%.0f', number) end
local function field(key, name) return tonumber(redis.call('HGET', key, name) or '0') end
local function establish(head, epoch, now)
  local known = redis.call('HGET', head, 'epoch')
  if known then return known end
  redis.call('HSET', head, 'epoch', epoch, 'seq', '0', 'count', '0', 'digest', '0', 'id', '0-0',
    'floor', text(now - now % BUCKET), 'beat', '0')
  return epoch
end
local function heartbeat(head, log, epoch, floor, now)
  local id = redis.call('XADD', log, '*', 'e', epoch, 's', text(field(head, 'seq')), 'o', 'b', 't', now,
    'f', text(floor), 'c', text(field(head, 'count')), 'g', text(field(head, 'digest')))
  redis.call('HSET', head, 'id', id)
  return id
end
local function account(head, buckets, expiry, digest, step)
  local bucket = expiry - expiry % BUCKET
  if bucket < field(head, 'floor') then return end
  local count, sum = 0, 0
  local held = redis.call('HGET', buckets, text(bucket))
  if held then
    local c, s = string.match(held, '^(%S+) (%S+)$')
    count, sum = tonumber(c), tonumber(s)
  end
  count, sum = count + step, (sum + step * digest) % MODULUS
  if count == 0 then redis.call('HDEL', buckets, text(bucket))
  else redis.call('HSET', buckets, text(bucket), text(count) .. ' ' .. text(sum)) end
  redis.call('HSET', head, 'count', text(field(head, 'count') + step),
    'digest', text((field(head, 'digest') + step * digest) % MODULUS))
end
local function held_version(meta, pid)
  local held = redis.call('HGET', meta, pid)
  if not held then return nil end
  local ver, expiry, digest, seq = string.match(held, '^(%d+) (%d+) (%d+) (%d+)$')
  return {{ver = ver, expiry = tonumber(expiry), digest = tonumber(digest), seq = seq}}
end
"""

# KEYS head live meta docs buckets expiries ids log ended set...
# ARGV pid ver expected expiry digest record doc now epoch most-per-subject
PUT: Final = Script(
    SHARED
    + """
local head, live, meta, docs, buckets, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[8]
local pid, ver, expiry, now = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[8])
local held = held_version(meta, pid)
if held and held.ver == ver and redis.call('HGET', docs, pid) == ARGV[7] then return {'same', held.seq} end
if (held and held.ver or '0') ~= ARGV[3] then return {'conflict', held and held.ver or '0'} end
if not held and redis.call('EXISTS', KEYS[9]) == 1 then return {'ended', '0'} end
if expiry <= now or (held and held.expiry <= now) then return {'expired', '0'} end
if not held and redis.call('SCARD', KEYS[10]) >= tonumber(ARGV[10]) then return {'full', '0'} end
local epoch = establish(head, ARGV[9], now)
if expiry - expiry % BUCKET < field(head, 'floor') then return {'expired', '0'} end
if held then account(head, buckets, held.expiry, held.digest, -1) end
account(head, buckets, expiry, tonumber(ARGV[5]), 1)
local seq = text(redis.call('HINCRBY', head, 'seq', 1))
redis.call('HSET', live, pid, ARGV[6])
redis.call('HSET', docs, pid, ARGV[7])
redis.call('HSET', meta, pid, ver .. ' ' .. ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. seq)
redis.call('ZADD', KEYS[6], ARGV[4], pid)
redis.call('ZADD', KEYS[7], 0, pid)
for at = 10, #KEYS do redis.call('SADD', KEYS[at], pid) end
local id = redis.call('XADD', log, '*', 'e', epoch, 's', seq, 'o', 'p', 't', ARGV[8], 'r', ARGV[6])
redis.call('HSET', head, 'id', id)
return {'done', seq}
"""
)

# KEYS as for PUT; ARGV pid expected now ended-document keep-seconds
DELETE: Final = Script(
    SHARED
    + """
local head, meta, pid = KEYS[1], KEYS[3], ARGV[1]
local held = held_version(meta, pid)
if not held then return {redis.call('EXISTS', KEYS[9]) == 1 and 'same' or 'missing', text(field(head, 'seq'))} end
if held.ver ~= ARGV[2] then return {'conflict', held.ver} end
account(head, KEYS[5], held.expiry, held.digest, -1)
local seq = text(redis.call('HINCRBY', head, 'seq', 1))
redis.call('HDEL', KEYS[2], pid)
redis.call('HDEL', meta, pid)
redis.call('HDEL', KEYS[4], pid)
redis.call('ZREM', KEYS[6], pid)
redis.call('ZREM', KEYS[7], pid)
for at = 10, #KEYS do redis.call('SREM', KEYS[at], pid) end
redis.call('SET', KEYS[9], ARGV[4], 'EX', ARGV[5])
local id = redis.call('XADD', KEYS[8], '*', 'e', redis.call('HGET', head, 'epoch'), 's', seq, 'o', 'd',
  't', ARGV[3], 'p', pid, 'v', held.ver)
redis.call('HSET', head, 'id', id)
return {'done', seq}
"""
)

# KEYS as for PUT; ARGV pid ended-document keep-seconds. Writes no log entry: digests left this policy out already.
PURGE: Final = Script(
    SHARED
    + """
local pid = ARGV[1]
local held = held_version(KEYS[3], pid)
if not held or held.expiry - held.expiry % BUCKET >= field(KEYS[1], 'floor') then return 0 end
redis.call('HDEL', KEYS[2], pid)
redis.call('HDEL', KEYS[3], pid)
redis.call('HDEL', KEYS[4], pid)
redis.call('ZREM', KEYS[6], pid)
redis.call('ZREM', KEYS[7], pid)
for at = 10, #KEYS do redis.call('SREM', KEYS[at], pid) end
redis.call('SET', KEYS[9], ARGV[2], 'EX', ARGV[3])
return 1
"""
)

# KEYS head buckets log workers positions
# ARGV now interval retention-ms trim-above most-entries worker-life-ms. Never makes a head: who lost one must notice.
BEAT: Final = Script(
    SHARED
    + """
local head, buckets, log = KEYS[1], KEYS[2], KEYS[3]
local now = tonumber(ARGV[1])
local epoch = redis.call('HGET', head, 'epoch')
if not epoch or now - field(head, 'beat') < tonumber(ARGV[2]) then return 0 end
local floor, target = field(head, 'floor'), now - now % BUCKET
if target > floor then
  local names = {}
  if (target - floor) / BUCKET > 2000 then
    for _, name in ipairs(redis.call('HKEYS', buckets)) do
      if tonumber(name) < target then table.insert(names, name) end
    end
  else
    for bucket = floor, target - BUCKET, BUCKET do table.insert(names, text(bucket)) end
  end
  for _, name in ipairs(names) do
    local held = redis.call('HGET', buckets, name)
    if held then
      local c, s = string.match(held, '^(%S+) (%S+)$')
      redis.call('HSET', head, 'count', text(field(head, 'count') - tonumber(c)),
        'digest', text((field(head, 'digest') - tonumber(s)) % MODULUS))
      redis.call('HDEL', buckets, name)
    end
  end
  floor = target
end
redis.call('HSET', head, 'floor', text(floor), 'beat', ARGV[1])
heartbeat(head, log, epoch, floor, ARGV[1])
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', text(now - tonumber(ARGV[6])), 'LIMIT', 0, 500)) do
  redis.call('ZREM', KEYS[4], worker)
  redis.call('ZREM', KEYS[5], worker)
end
local entries, held = redis.call('XLEN', log), 0
local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
for at = 1, oldest and #oldest[2] or 0, 2 do
  -- An entry may hold many policies: what the log takes up is told by their numbers.
  if oldest[2][at] == 's' then held = math.max(entries, field(head, 'seq') - tonumber(oldest[2][at + 1])) end
end
if held > tonumber(ARGV[4]) then
  local clock = redis.call('TIME')
  local cutoff = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000) - tonumber(ARGV[3])
  local slowest = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
  if slowest[2] and tonumber(slowest[2]) < cutoff then cutoff = tonumber(slowest[2]) end
  redis.call('XTRIM', log, 'MINID', '~', text(cutoff))
  if held > tonumber(ARGV[5]) then
    redis.call('XTRIM', log, 'MAXLEN', '~', text(math.floor(entries * tonumber(ARGV[5]) / held)))
  end
end
return 1
"""
)

# KEYS head; ARGV now epoch
ESTABLISH: Final = Script(
    SHARED
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
establish(KEYS[1], ARGV[2], tonumber(ARGV[1]))
return 1
"""
)

# KEYS head log; ARGV now epoch. The contents stay; the heartbeat of another epoch makes every follower load them.
RESET: Final = Script(
    SHARED
    + """
local head = KEYS[1]
establish(head, ARGV[2], tonumber(ARGV[1]))
redis.call('HSET', head, 'epoch', ARGV[2])
redis.call('HSET', head, 'reset', heartbeat(head, KEYS[2], ARGV[2], field(head, 'floor'), ARGV[1]))
return 1
"""
)

# KEYS report workers positions; ARGV worker now position-ms life-seconds field value...
REPORT: Final = Script(
    """
for at = 5, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
return 1
"""
)

# KEYS refusals times hits; ARGV reference document now oldest most policy
REFUSE: Final = Script(
    """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
if redis.call('HLEN', KEYS[3]) < tonumber(ARGV[5]) or redis.call('HEXISTS', KEYS[3], ARGV[6]) == 1 then
  redis.call('HINCRBY', KEYS[3], ARGV[6], 1)
end
local old = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[4], 'LIMIT', 0, 20)
local excess = redis.call('ZCARD', KEYS[2]) - #old - tonumber(ARGV[5])
if excess > 0 then
  for _, reference in ipairs(redis.call('ZRANGE', KEYS[2], #old, #old + math.min(excess, 20) - 1)) do
    table.insert(old, reference)
  end
end
for _, reference in ipairs(old) do
  redis.call('ZREM', KEYS[2], reference)
  redis.call('HDEL', KEYS[1], reference)
end
return #old
"""
)
