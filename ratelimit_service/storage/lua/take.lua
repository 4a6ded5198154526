-- take: charge token buckets for many requests, each request wholly or not at all.
-- The arithmetic is that of core/bucket.py (its Python twin): integers below 2^53, no rounding.
-- The store's own clock decides; a refused request writes nothing; a key lives until it is full.
--
-- KEYS     one per bucket, no key twice
-- ARGV     per request: n, then n charges of [index into KEYS, cost, full, refill, tick_us]
-- Returns  per charge the debt it met, in the order of ARGV

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local stored = redis.call('MGET', unpack(KEYS))
local cells, met = {}, {} -- a cell: { debt, stamp, full, refill, tick }

local function load(i, full)
  local debt, stamp, was = string.match(stored[i] or '', '^(%d+) (%d+) (%d+)$')
  if not debt then return { 0, now, full } end
  return { tonumber(debt), tonumber(stamp), tonumber(was) }
end

local function refilled(cell, full, refill, tick)
  local debt, stamp, was = cell[1], cell[2], cell[3]
  if was ~= full then debt = math.min(full, math.ceil(debt / was * full)) end
  local elapsed = math.max(0, now - stamp)
  local spare = elapsed % tick
  local ticks = (elapsed - spare) / tick
  if ticks >= debt / refill then return 0, now end
  return debt - ticks * refill, now - spare
end

local at, last = 1, #ARGV
while at <= last do
  local stop = at + ARGV[at] * 5
  local drafts, fits = {}, true
  for a = at + 1, stop, 5 do
    local i, cost, full = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
    local refill, tick = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
    local cell = drafts[i] or cells[i] or load(i, full)
    local debt, stamp = refilled(cell, full, refill, tick)
    met[#met + 1] = debt
    if cost > 0 and debt + cost > full then fits = false end
    if cost ~= 0 then drafts[i] = { math.max(0, debt + cost), stamp, full, refill, tick } end
  end
  if fits then
    for i, draft in pairs(drafts) do cells[i] = draft end
  end
  at = stop + 1
end

for i, cell in pairs(cells) do
  local debt, stamp, full, refill, tick = unpack(cell)
  if debt > 0 then
    local ttl = math.ceil(math.ceil(debt / refill) * tick / 1000) + 1
    redis.call('SET', KEYS[i], string.format('%.0f %.0f %.0f', debt, stamp, full), 'PX', ttl)
  else
    redis.call('DEL', KEYS[i])
  end
end
return met
