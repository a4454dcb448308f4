"""One transaction for many new policies and the audit entry that names them: all or none.

Does what `ledger_script.COMMIT` does for as many `p` operations, with the sums, the head and the look-ups written once
for all of them: a third of the time in the store, during which everybody else waits.
"""

from typing import Final

from haetae_policy.io.commands import Script
from haetae_policy.io.scripts import SHARED

# KEYS head live meta docs buckets expiries ids log audit audit-head watched, then per policy: ended set...
# ARGV now epoch most-per-subject audit-seq audit-hash entry-seq entry-body entry-hash policies, then per policy:
#   sets pid expiry digest record doc watch-record
# Replies: {audit seq hash} | {refused status...} | {done first-seq last-seq}; one status per policy. Every policy is
# version 1. The variadic calls stay far below the number of values that Lua can unpack (8000).
BULK: Final = Script(
    SHARED
    + """
local head, live, meta, docs, buckets, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[8]
local now, most, total = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[9])
local audit_seq, audit_hash = redis.call('HGET', KEYS[10], 'seq') or '0', redis.call('HGET', KEYS[10], 'hash') or ''
if audit_seq ~= ARGV[4] or audit_hash ~= ARGV[5] then return {'audit', audit_seq, audit_hash} end
local pids, ended, firsts, key = {}, {}, {}, 12
for number = 1, total do
  local at = 10 + (number - 1) * 7
  pids[number], ended[number], firsts[number] = ARGV[at + 1], KEYS[key], key + 1
  key = key + 1 + tonumber(ARGV[at])
end
local held = redis.call('HMGET', meta, unpack(pids))
local any_ended = redis.call('EXISTS', unpack(ended)) > 0
local statuses, bad, floor, sizes = {'refused'}, false, field(head, 'floor'), {}
for number = 1, total do
  local at, status = 10 + (number - 1) * 7, 'ok'
  local expiry, first = tonumber(ARGV[at + 2]), KEYS[firsts[number]]
  if held[number] then
    local ver, seq = string.match(held[number], '^(%d+) %d+ %d+ (%d+)$')
    if ver == '1' and redis.call('HGET', docs, pids[number]) == ARGV[at + 5] then status = 'same ' .. seq
    else status = 'conflict ' .. ver end
  elseif any_ended and redis.call('EXISTS', ended[number]) == 1 then status = 'ended'
  elseif expiry <= now or expiry - expiry % BUCKET < floor then status = 'expired'
  else
    sizes[first] = (sizes[first] or redis.call('SCARD', first)) + 1
    if sizes[first] > most then status = 'full' end
  end
  if status ~= 'ok' then bad = true end
  statuses[number + 1] = status
end
if bad then return statuses end
local epoch = establish(head, ARGV[2], now)
floor = field(head, 'floor')
local seq, count, digest = field(head, 'seq'), field(head, 'count'), field(head, 'digest')
local first_seq, last_id = text(seq + 1), ''
local lives, documents, metas, expiries, ids, watched = {}, {}, {}, {}, {}, {}
local counts, sums = {}, {}
for number = 1, total do
  local at, pid, two = 10 + (number - 1) * 7, pids[number], number * 2
  local expiry, part = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  seq = seq + 1
  local place = text(seq)
  lives[two - 1], lives[two] = pid, ARGV[at + 4]
  documents[two - 1], documents[two] = pid, ARGV[at + 5]
  metas[two - 1], metas[two] = pid, '1 ' .. ARGV[at + 2] .. ' ' .. ARGV[at + 3] .. ' ' .. place
  expiries[two - 1], expiries[two] = ARGV[at + 2], pid
  ids[two - 1], ids[two] = 0, pid
  for set = firsts[number], firsts[number] + tonumber(ARGV[at]) - 1 do redis.call('SADD', KEYS[set], pid) end
  if ARGV[at + 6] ~= '' then table.insert(watched, pid); table.insert(watched, ARGV[at + 6]) end
  local bucket = expiry - expiry % BUCKET
  if bucket >= floor then
    counts[bucket], sums[bucket] = (counts[bucket] or 0) + 1, ((sums[bucket] or 0) + part) % MODULUS
    count, digest = count + 1, (digest + part) % MODULUS
  end
  last_id = redis.call('XADD', log, '*', 'e', epoch, 's', place, 'o', 'p', 't', ARGV[1], 'r', ARGV[at + 4])
end
redis.call('HSET', live, unpack(lives))
redis.call('HSET', docs, unpack(documents))
redis.call('HSET', meta, unpack(metas))
redis.call('ZADD', KEYS[6], unpack(expiries))
redis.call('ZADD', KEYS[7], unpack(ids))
if #watched > 0 then redis.call('HSET', KEYS[11], unpack(watched)) end
for bucket, more in pairs(counts) do
  local had, sum = 0, 0
  local kept = redis.call('HGET', buckets, text(bucket))
  if kept then
    local c, s = string.match(kept, '^(%S+) (%S+)$')
    had, sum = tonumber(c), tonumber(s)
  end
  redis.call('HSET', buckets, text(bucket), text(had + more) .. ' ' .. text((sum + sums[bucket]) % MODULUS))
end
redis.call('HSET', head, 'seq', text(seq), 'count', text(count), 'digest', text(digest), 'id', last_id)
redis.call('XADD', KEYS[9], ARGV[6] .. '-0', 'b', ARGV[7], 'h', ARGV[8])
redis.call('HSET', KEYS[10], 'seq', ARGV[6], 'hash', ARGV[8])
return {'done', first_seq, text(seq)}
"""
)
