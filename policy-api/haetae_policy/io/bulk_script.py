"""One transaction for many new policies and the audit entry that names them: all or none.

Does what `ledger_script.COMMIT` does for as many `p` operations, with the sums, the head, the look-ups and the log's
entries written once for many of them: a fraction of the time in the store, during which everybody else waits.
"""

from typing import Final

from haetae_policy.entries import MAX_TOGETHER
from haetae_policy.io.commands import Script
from haetae_policy.io.scripts import SHARED

# KEYS head live meta docs buckets expiries ids log audit audit-head watched, then per policy: ended set...
# ARGV now epoch most-per-subject audit-seq audit-hash entry-seq entry-body entry-hash rows
# rows (MessagePack, one value where thousands of arguments would have to be taken apart): an array of seven, each flat:
#   identifiers, expiries, digests, numbers of sets; identifier and document of each; identifier and record of each;
#   identifier and watch-record of those that have one
# Replies: {audit seq hash} | {refused status...} | {done first-seq last-seq}; one status per policy. Every policy is
# version 1. The variadic calls stay far below the number of values that Lua can unpack (8000).
BULK: Final = Script(
    SHARED
    + f"local TOGETHER = {MAX_TOGETHER}"
    + """
local head, live, meta, docs, buckets, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[8]
local now, most = tonumber(ARGV[1]), tonumber(ARGV[3])
local audit_seq, audit_hash = redis.call('HGET', KEYS[10], 'seq') or '0', redis.call('HGET', KEYS[10], 'hash') or ''
if audit_seq ~= ARGV[4] or audit_hash ~= ARGV[5] then return {'audit', audit_seq, audit_hash} end
local pids, expiries, digests, sets, documents, lives, watched = unpack(cmsgpack.unpack(ARGV[9]))
local total, ended, filed, key = #pids, {}, {}, 12
for number = 1, total do
  ended[number], filed[number] = KEYS[key], KEYS[key + 1]
  key = key + 1 + sets[number]
end
local held = redis.call('HMGET', meta, unpack(pids))
local any_ended = redis.call('EXISTS', unpack(ended)) > 0
local any_filed = redis.call('EXISTS', unpack(filed)) > 0
local statuses, bad, floor, sizes = {'refused'}, false, field(head, 'floor'), {}
for number = 1, total do
  local status, expiry, first = 'ok', expiries[number], filed[number]
  if held[number] then
    local ver, seq = string.match(held[number], '^(%d+) %d+ %d+ (%d+)$')
    if ver == '1' and redis.call('HGET', docs, pids[number]) == documents[number * 2] then status = 'same ' .. seq
    else status = 'conflict ' .. ver end
  elseif any_ended and redis.call('EXISTS', ended[number]) == 1 then status = 'ended'
  elseif expiry <= now or expiry - expiry % BUCKET < floor then status = 'expired'
  else
    sizes[first] = (sizes[first] or (any_filed and redis.call('SCARD', first) or 0)) + 1
    if sizes[first] > most then status = 'full' end
  end
  if status ~= 'ok' then bad = true end
  statuses[number + 1] = status
end
if bad then return statuses end
local epoch = establish(head, ARGV[2], now)
floor = field(head, 'floor')
local seq, count, digest = field(head, 'seq'), field(head, 'count'), field(head, 'digest')
local first_seq, last_id = seq + 1, ''
local records, metas, ends, ids, counts, sums = {}, {}, {}, {}, {}, {}
key = 12
for number = 1, total do
  local pid, two, expiry, part = pids[number], number * 2, expiries[number], digests[number]
  local ends_at = text(expiry)
  seq = seq + 1
  records[number] = lives[two]
  metas[two - 1], metas[two] = pid, '1 ' .. ends_at .. ' ' .. text(part) .. ' ' .. text(seq)
  ends[two - 1], ends[two] = ends_at, pid
  ids[two - 1], ids[two] = '0', pid
  for set = key + 1, key + sets[number] do redis.call('SADD', KEYS[set], pid) end
  key = key + 1 + sets[number]
  local bucket = expiry - expiry % BUCKET
  if bucket >= floor then
    counts[bucket], sums[bucket] = (counts[bucket] or 0) + 1, ((sums[bucket] or 0) + part) % MODULUS
    count, digest = count + 1, (digest + part) % MODULUS
  end
end
for from = 1, total, TOGETHER do
  local to = math.min(from + TOGETHER - 1, total)
  last_id = redis.call('XADD', log, '*', 'e', epoch, 's', text(first_seq + from - 1), 'o', 'm', 't', ARGV[1],
    'n', text(to - from + 1), 'r', table.concat(records, '\\n', from, to))
end
redis.call('HSET', live, unpack(lives))
redis.call('HSET', docs, unpack(documents))
redis.call('HSET', meta, unpack(metas))
redis.call('ZADD', KEYS[6], unpack(ends))
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
return {'done', text(first_seq), text(seq)}
"""
)
