-- grant: give back what was used, and beyond that a credit for a while.
-- core/grant.py is its Python twin.
--
-- KEYS     one per meter, no key twice
-- ARGV     shapes and charges, as begin says, of looks at the meters; then expire_in_us, and for
--          each of them what is given and the most credit there may be
-- Returns  what a look at each meter then answers

local meters = all_meters()
local expire = tonumber(ARGV[3])
for row = 1, #rows, 6 do
  local i, s = unpacked('<HH', rows, row)
  local at = 4 + (row - 1) / 3
  local given, most = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local cell = meters.settled(cells[i], i, shapes[s])
  local before = cell[1]
  local debt = math.max(before - given, math.min(before, -most))
  if debt < 0 then
    local ends = math.max(now + expire, before < 0 and (cell.last or cell[2]) or 0)
    if cell.stop then
      meters.empty(cell)
      cell.last = ends
    else
      cell[2] = ends
    end
  end
  if cell.stop then meters.recount(cell, debt) else cell[1] = debt end
  cells[i] = cell
  meters.draft({}, row, true)
end
save(meters)
return met
