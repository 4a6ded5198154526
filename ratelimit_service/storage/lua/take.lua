-- take: charge meters for many requests in order, each by the modes of its charges.
-- core/take.py is its Python twin. The store's own clock decides; a refused request writes nothing
-- that its modes do not say.
--
-- KEYS     one per meter, no key twice
-- ARGV     per request: n, then n enforced charges of buckets, each [index into KEYS, cost, full,
--          refill, tick_us]; or -n, then n charges of any kind, each as charge says
-- Returns  the answers of the charges, in the order of ARGV

local at, last, meters = 1, #ARGV, nil
while at <= last do
  local stop = at + ARGV[at] * 5
  local drafts, fits = {}, true
  if stop < at then
    meters, stop = meters or all_meters(), at - ARGV[at] * 9
    drafts = meters.request(at + 1, stop)
  else
    for a = at + 1, stop, 5 do
      local i, cost, full = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
      local refill, tick = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
      local cell = drafts[i] or cells[i] or bucket_stored(i, full)
      local debt, stamp = refilled(cell, full, refill, tick)
      met[#met + 1] = debt
      local owed = debt + cost
      if cost >= 0 and (debt < 0 and cost or owed) > full then
        fits, owed = false, math.max(debt, math.min(owed, full))
      elseif owed < 0 and cost < 0 then
        owed = math.min(debt, 0)
      end
      if owed ~= debt then
        if debt < 0 and owed >= 0 then stamp = now end
        drafts[i] = { owed, stamp, full, refill, tick }
      end
    end
  end
  if fits then
    for i, draft in pairs(drafts) do cells[i] = draft end
  end
  at = stop + 1
end
save(meters)
return met
