-- grant: give back what was used, and beyond that a credit for a while.
-- core/grant.py is its Python twin.
--
-- KEYS     one per meter, no key twice
-- ARGV     expire_in_us, then per grant eleven words: those of a look (see charge), what is given
--          and the most credit there may be
-- Returns  what a look at each meter then answers

local meters = all_meters()
for a = 2, #ARGV, 11 do
  local i, given, most = tonumber(ARGV[a]), tonumber(ARGV[a + 9]), tonumber(ARGV[a + 10])
  local cell = meters.settled(cells[i], i, tonumber(ARGV[a + 3]), a + 4)
  local before = cell[1]
  local debt = math.max(before - given, math.min(before, -most))
  if debt < 0 then
    local ends = math.max(now + ARGV[1], before < 0 and (cell.last or cell[2]) or 0)
    if cell.stop then
      meters.empty(cell)
      cell.last = ends
    else
      cell[2] = ends
    end
  end
  if cell.stop then meters.recount(cell, debt) else cell[1] = debt end
  cells[i] = cell
  meters.draft({}, a, true)
end
save(meters)
return met
