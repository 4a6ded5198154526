-- bucket: the token bucket (core/bucket.py), kept by its debt, the parts of tokens it lacks.
-- A cell is { debt, stamp, full, refill, tick }; a debt below zero is a credit until its stamp.
--
-- KEYS     `debt stamp full`
-- ARGV     of a bucket: full, refill, tick_us, behind the cost, mode and kind of a shape
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

-- What an enforced charge meets and leaves, and whether it does not fit.
local function charged(cell, shape)
  local cost, full = shape[1], shape[4]
  local debt, stamp = refilled(cell, full, shape[5], shape[6])
  local owed, short = debt + cost, false
  if cost >= 0 and (debt < 0 and cost or owed) > full then
    owed, short = math.max(debt, math.min(owed, full)), true
  elseif owed < 0 and cost < 0 then
    owed = math.min(debt, 0)
  end
  if debt < 0 and owed >= 0 then stamp = now end
  return debt, owed, stamp, short
end
