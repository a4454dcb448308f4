"""One transaction for any set of changes: policies put and taken back, side records, audit entries, the answer kept
under an idempotency key. All happens or nothing.

First every operation is checked, then all are carried out; see `io.scripts` for the helpers and the number format.
"""

from typing import Final

from haetae_policy.io.commands import Script
from haetae_policy.io.scripts import SHARED

# KEYS head live meta docs buckets expiries ids log audit audit-head pending batches watched once, then per operation
# p and d: ended set...
# ARGV now epoch most-per-subject ended-seconds once-answer once-seconds audit-seq audit-hash operations, then each:
#   p sets pid ver expected expiry digest record doc | d sets pid expected ended-doc
#   w key-number field expected value                | a seq body hash
# Replies: {repeat answer} | {audit seq hash} | {refused status...} | {done seq...}; one status or seq per operation.
COMMIT: Final = Script(
    SHARED
    + """
local head, live, meta, docs, buckets, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[8]
local now, most = tonumber(ARGV[1]), tonumber(ARGV[3])
if ARGV[6] ~= '0' then
  local answer = redis.call('GET', KEYS[14])
  if answer then return {'repeat', answer} end
end
local audit_seq, audit_hash = redis.call('HGET', KEYS[10], 'seq') or '0', redis.call('HGET', KEYS[10], 'hash') or ''
if audit_seq ~= ARGV[7] or audit_hash ~= ARGV[8] then return {'audit', audit_seq, audit_hash} end
local operations, at, key, sizes = {}, 10, 15, {}
local statuses, bad, floor = {'refused'}, false, field(head, 'floor')
for number = 1, tonumber(ARGV[9]) do
  local kind, status = ARGV[at], 'ok'
  local op = {kind = kind, at = at, key = key}
  if kind == 'p' then
    op.sets = tonumber(ARGV[at + 1])
    local pid, ver, expiry, first = ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 5]), KEYS[key + 1]
    op.held = held_version(meta, pid)
    local held = op.held
    if held and held.ver == ver and redis.call('HGET', docs, pid) == ARGV[at + 8] then status = 'same ' .. held.seq
    elseif (held and held.ver or '0') ~= ARGV[at + 4] then status = 'conflict ' .. (held and held.ver or '0')
    elseif not held and redis.call('EXISTS', KEYS[key]) == 1 then status = 'ended'
    elseif expiry <= now or (held and held.expiry <= now) or expiry - expiry % BUCKET < floor then status = 'expired'
    elseif not held then
      sizes[first] = (sizes[first] or redis.call('SCARD', first)) + 1
      if sizes[first] > most then status = 'full' end
    end
    at, key = at + 9, key + 1 + op.sets
  elseif kind == 'd' then
    op.sets = tonumber(ARGV[at + 1])
    op.held = held_version(meta, ARGV[at + 2])
    if not op.held then status = redis.call('EXISTS', KEYS[key]) == 1 and 'ended' or 'missing'
    elseif op.held.ver ~= ARGV[at + 3] then status = 'conflict ' .. op.held.ver end
    at, key = at + 5, key + 1 + op.sets
  elseif kind == 'w' then
    local held, wanted = redis.call('HGET', KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2]), ARGV[at + 3]
    local how = string.sub(wanted, 1, 1)
    if (how == '-' and held) or (how == '*' and not held) or (how == '=' and held ~= string.sub(wanted, 2)) then
      status = 'changed'
    end
    at = at + 5
  else
    at = at + 4
  end
  if status ~= 'ok' then bad = true end
  table.insert(statuses, status)
  operations[number] = op
end
if bad then return statuses end
local epoch, done = establish(head, ARGV[2], now), {'done'}
for _, op in ipairs(operations) do
  local a, seq = op.at, '0'
  if op.kind == 'p' then
    local pid = ARGV[a + 2]
    if op.held then account(head, buckets, op.held.expiry, op.held.digest, -1) end
    account(head, buckets, tonumber(ARGV[a + 5]), tonumber(ARGV[a + 6]), 1)
    seq = text(redis.call('HINCRBY', head, 'seq', 1))
    redis.call('HSET', live, pid, ARGV[a + 7])
    redis.call('HSET', docs, pid, ARGV[a + 8])
    redis.call('HSET', meta, pid, ARGV[a + 3] .. ' ' .. ARGV[a + 5] .. ' ' .. ARGV[a + 6] .. ' ' .. seq)
    redis.call('ZADD', KEYS[6], ARGV[a + 5], pid)
    redis.call('ZADD', KEYS[7], 0, pid)
    for set = 1, op.sets do redis.call('SADD', KEYS[op.key + set], pid) end
    redis.call('HSET', head, 'id', redis.call('XADD', log, '*', 'e', epoch, 's', seq, 'o', 'p', 't', ARGV[1],
      'r', ARGV[a + 7]))
  elseif op.kind == 'd' then
    local pid = ARGV[a + 2]
    account(head, buckets, op.held.expiry, op.held.digest, -1)
    seq = text(redis.call('HINCRBY', head, 'seq', 1))
    for _, hash in ipairs({live, meta, docs, KEYS[13]}) do redis.call('HDEL', hash, pid) end
    redis.call('ZREM', KEYS[6], pid)
    redis.call('ZREM', KEYS[7], pid)
    for set = 1, op.sets do redis.call('SREM', KEYS[op.key + set], pid) end
    redis.call('SET', KEYS[op.key], ARGV[a + 4], 'EX', ARGV[4])
    redis.call('HSET', head, 'id', redis.call('XADD', log, '*', 'e', epoch, 's', seq, 'o', 'd', 't', ARGV[1],
      'p', pid, 'v', op.held.ver))
  elseif op.kind == 'w' then
    local hash = KEYS[tonumber(ARGV[a + 1])]
    if ARGV[a + 4] == '' then redis.call('HDEL', hash, ARGV[a + 2])
    else redis.call('HSET', hash, ARGV[a + 2], ARGV[a + 4]) end
  else
    redis.call('XADD', KEYS[9], ARGV[a + 1] .. '-0', 'b', ARGV[a + 2], 'h', ARGV[a + 3])
    redis.call('HSET', KEYS[10], 'seq', ARGV[a + 1], 'hash', ARGV[a + 3])
  end
  table.insert(done, seq)
end
if ARGV[6] ~= '0' then redis.call('SET', KEYS[14], ARGV[5], 'EX', ARGV[6]) end
return done
"""
)
