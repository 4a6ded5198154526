-- bucket: the token bucket (core/bucket.py), kept by its debt, the parts of tokens it lacks.
-- A cell is { debt, stamp, full, refill, tick }; a debt below zero is a credit until its stamp.
--
-- KEYS     `debt stamp full`
-- ARGV     of a bucket: full, refill, tick_us
-- Returns  none of its own

local function bucket_stored(i, full)
  local debt, stamp, was = string.match(stored[i] or '', '^(-?%d+) (%d+) (%d+)$')
  if not debt then return { 0, now, full } end
  return { tonumber(debt), tonumber(stamp), tonumber(was) }
end

-- Debt and stamp as they stand now, rescaled if the limit has changed since.
local function refilled(cell, full, refill, tick)
  local debt, stamp, was = cell[1], cell[2], cell[3]
  if debt < 0 then
    if was ~= full or now >= stamp then return 0, now end
    return debt, stamp
  end
  if was ~= full then debt = math.min(2 * full, math.ceil(debt / was * full)) end
  local elapsed = math.max(0, now - stamp)
  local spare = elapsed % tick
  local ticks = (elapsed - spare) / tick
  if ticks >= debt / refill then return 0, now end
  return debt - ticks * refill, now - spare
end
