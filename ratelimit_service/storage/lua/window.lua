-- window: fixed and sliding windows (core/window.py) as they are stored and as they stand now.
--
-- KEYS     `last hits`, and where there is more than one slot ` used first hits gap ...`
-- ARGV     of a window: full, slot_us, keep_us, or full, slot_us and three edges of a calendar,
--          behind the cost, mode and kind of a shape
-- Returns  none of its own

-- The slot, how long it is kept and when the one of now ends.
local function slot_at(shape)
  local slot = shape[5]
  if shape[3] == 1 then return slot, shape[6], now - now % slot + slot end
  for edge = 6, 8 do
    if now < shape[edge] then return slot, 0, shape[edge] end
  end
  return slot, 0, now - (now - shape[8]) % slot + slot
end

local function stored_window(i, stop)
  local text = stored[i] or ''
  local last, hits, used, first, old = string.match(text, '^(%d+) (%d+) (%d+) (%d+) ([%d ]+)$')
  if not old then last, hits = string.match(text, '^(%d+) (-?%d+)$') end
  hits, last = tonumber(hits or 0), tonumber(last or stop)
  return { tonumber(used or hits), last = last, hits = hits, first = tonumber(first or last),
    old = old or '' }
end

-- What still counts of a cell, or of what is stored if there is none: a new one, free to change.
local function counted(cell, i, slot, keep, stop)
  local was = cell or stored_window(i, stop)
  local new = { was[1], last = was.last, hits = was.hits, first = was.first, old = was.old,
    slot = slot, keep = keep, stop = stop }
  local over = new.last + (was[1] < 0 and 0 or keep) <= now
  if over or was[1] == 0 then empty(new) end
  while new.old ~= '' and new.first + keep <= now do
    local hits, gap, rest = string.match(new.old, '^(%d+) (%d+) (.*)$')
    new[1], new.first, new.old = new[1] - hits, new.first + gap * slot, rest
  end
  if new[1] > 0 and (keep == 0 or new.last > stop) then fold(new) end
  return new
end
