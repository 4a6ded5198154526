-- spans: how long the hits of a window count (core/window.py), and what is stored of it.
--
-- KEYS     as window
-- ARGV     none of its own
-- Returns  none of its own

local ENFORCED, SHADOW, QUOTA, POSTPAID, COUNTED = 0, 1, 2, 3, 4 -- Mode of core/charge.py

-- Microseconds until nothing counts; of a counted one, until its period ends.
local function empties(cell, mode)
  if mode == COUNTED then return cell.stop - now end
  return cell[1] > 0 and cell.last + cell.keep - now or 0
end

-- Microseconds until enough is gone for `cost`, or all where it never fits.
local function waits(cell, cost, full, mode)
  local used, at = cell[1], cell.first
  for hits, gap in string.gmatch(cell.old, '(%d+) (%d+) ') do
    used = used - hits
    if used + cost <= full then return at + cell.keep - now end
    at = at + gap * cell.slot
  end
  return cost <= full and cell.last + cell.keep - now or empties(cell, mode)
end

-- What is stored of a cell, and its TTL in milliseconds.
local function window_text(cell)
  local text = string.format('%.0f %.0f', cell.last, cell.hits)
  if cell.old ~= '' then
    text = string.format('%s %.0f %.0f %s', text, cell[1], cell.first, cell.old)
  end
  local left = cell.last - now + (cell[1] < 0 and 0 or cell.keep)
  return text, math.ceil(left / 1000) + 1
end
