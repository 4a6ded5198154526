-- take: charge meters for many requests in order, each by the modes of its charges.
-- core/take.py is its Python twin. The store's own clock decides; a refused request writes nothing
-- that its modes do not say. Charges that are alone, enforced and of buckets, as most are, take
-- the short way.
--
-- KEYS     one per meter, no key twice
-- ARGV     shapes and charges, as begin says
-- Returns  the answers of the charges, in their order

local meters

-- Draft enforced charges of buckets from `at` to `stop`; return what they leave if all fit.
local function enforced(at, stop)
  local drafts, fits = {}, true
  for row = at, stop, 6 do
    local i, s = unpacked('<HH', rows, row)
    local shape = shapes[s]
    local cell = drafts[i] or cells[i] or bucket_stored(i, shape[4])
    local debt, owed, stamp, short = charged(cell, shape)
    met[#met + 1] = debt
    fits = fits and not short
    if owed ~= debt then drafts[i] = { owed, stamp, shape[4], shape[5], shape[6] } end
  end
  return fits and drafts or {}
end

local function are_plain(at, stop)
  for row = at, stop, 6 do
    local shape = shapes[unpacked('<H', rows, row + 2)]
    if shape[2] + shape[3] > 0 then return false end
  end
  return true
end

local at, size = 1, #rows
while at < size do
  local i, s, following = unpacked('<HHH', rows, at)
  local shape, stop = shapes[s], at + following * 6
  if following == 0 and shape[2] + shape[3] == 0 then
    local full = shape[4]
    local debt, owed, stamp, short = charged(cells[i] or bucket_stored(i, full), shape)
    met[#met + 1] = debt
    if owed ~= debt and not short then cells[i] = { owed, stamp, full, shape[5], shape[6] } end
  else
    local drafts
    if are_plain(at, stop) then
      drafts = enforced(at, stop)
    else
      meters = meters or all_meters()
      drafts = meters.request(at, stop)
    end
    for j, draft in pairs(drafts) do cells[j] = draft end
  end
  at = stop + 6
end
save(meters)
return met
