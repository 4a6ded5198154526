-- slots: fixed and sliding windows (core/window.py) are kept by slots of time and their hits.
-- A cell is { used, last, hits, first, old }: the end of its newest slot and the hits of that, the
-- end of its oldest, and a text of the slots from there, each `hits gap `, the gap in slots to
-- the next; so a hit need not read them all. Also slot, keep and stop, the end of the slot of now.
-- Hits below zero are a credit: they are the only slot, gone at its end.
--
-- KEYS     as window
-- ARGV     none of its own
-- Returns  none of its own

local function empty(cell)
  cell[1], cell.last, cell.hits, cell.first, cell.old = 0, cell.stop, 0, cell.stop, ''
end

-- Of a clock that went back: what is in slots to come counts in the slot of now.
local function fold(cell)
  while cell.old ~= '' and cell.last > cell.stop do
    local rest, hits, gap = string.match(cell.old, '^(.-)(%d+) (%d+) $')
    local at = cell.last - gap * cell.slot
    if at < cell.stop then
      cell.old = string.format('%s%s %.0f ', rest, hits, (cell.stop - at) / cell.slot)
      break
    end
    cell.last, cell.hits, cell.old = at, cell.hits + hits, rest
  end
  cell.last = cell.stop
  if cell.old == '' then cell.first = cell.stop end
end

local function forget(cell, gone)
  while gone > 0 and cell.old ~= '' do
    local hits, gap, rest = string.match(cell.old, '^(%d+) (%d+) (.*)$')
    local left = hits - gone
    if left > 0 then
      cell.old = string.format('%.0f %s %s', left, gap, rest)
      return
    end
    gone, cell.first, cell.old = -left, cell.first + gap * cell.slot, rest
  end
  cell.hits = cell.hits - gone
end

-- Give a cell of `counted` another debt: more is of now, less is what was used first.
local function recount(cell, debt)
  local used = math.max(0, cell[1])
  if cell[1] < 0 and debt >= 0 or debt == 0 then empty(cell) end
  cell[1] = debt
  if debt < 0 then
    cell.hits = debt
  elseif debt < used then
    if debt > 0 then forget(cell, used - debt) end
  elseif debt > used then
    if cell.last ~= cell.stop then
      local gap = (cell.stop - cell.last) / cell.slot
      cell.old = string.format('%s%.0f %.0f ', cell.old, cell.hits, gap)
      cell.last, cell.hits = cell.stop, 0
    end
    cell.hits = cell.hits + debt - used
  end
end
