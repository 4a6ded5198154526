-- charge: one charge of any meter in any mode (core/charge.py).
--
-- KEYS     as bucket and window; a meter that lacks nothing has no key
-- ARGV     shapes and charges, as begin says
-- Returns  for a bucket the debt met; for a window that and three spans, in microseconds: until
--          the charge fits, until nothing counts if it is not made, and if it is

local function debt_after(debt, cost, full, mode)
  if cost <= 0 then return math.max(debt + cost, math.min(debt, 0)) end
  local most = full
  if mode == QUOTA or mode == POSTPAID then most = 2 * full end
  if mode == COUNTED then most = 2 ^ 52 end
  return math.max(debt, math.min(debt + cost, most))
end

-- A new cell as it stands now.
local function settled(cell, i, shape)
  if shape[3] > 0 then return counted(cell, i, slot_at(shape)) end
  local full, refill, tick = shape[4], shape[5], shape[6]
  local debt, stamp = refilled(cell or bucket_stored(i, full), full, refill, tick)
  return { debt, stamp, full, refill, tick }
end

local function owe(cell, debt)
  if cell.stop then return recount(cell, debt) end
  if cell[1] < 0 and debt >= 0 then cell[2] = now end
  cell[1] = debt
end

-- Draft the charge at `row`, and answer it if asked; return its mode and whether it did not fit.
local function draft(drafts, row, answer)
  local i, s = unpacked('<HH', rows, row)
  local shape = shapes[s]
  local cost, mode, full = shape[1], shape[2], shape[4]
  local cell = settled(drafts[i] or cells[i], i, shape)
  local debt = cell[1]
  local short = cost >= 0 and math.max(debt, 0) + cost > full
  local spans = answer and cell.stop and { 0, empties(cell, mode) }
  if spans and short and mode < QUOTA then spans[1] = waits(cell, cost, full, mode) end
  local owed = debt_after(debt, cost, full, mode)
  if owed ~= debt then
    owe(cell, owed)
    drafts[i] = cell
  end
  if answer then met[#met + 1] = debt end
  if spans then
    if short and mode >= QUOTA then spans[1] = waits(cell, cost, full, mode) end
    spans[3] = empties(cell, mode)
    for _, span in ipairs(spans) do met[#met + 1] = span end
  end
  return mode, short
end
