-- save: store what was charged. A meter that lacks nothing has no key; every other expires when
-- it would lack nothing again.
--
-- KEYS     as bucket and window
-- ARGV     none of its own
-- Returns  none of its own

local function save(meters)
  for i, cell in pairs(cells) do
    local debt, stamp, text, ttl = cell[1], cell[2], nil, nil
    if debt == 0 then
      redis.call('DEL', KEYS[i])
    else
      if cell.stop then
        text, ttl = meters.text(cell)
      else
        text = string.format('%.0f %.0f %.0f', debt, stamp, cell[3])
        local left = debt > 0 and math.ceil(debt / cell[4]) * cell[5] or stamp - now
        ttl = math.min(math.ceil(left / 1000) + 1, 2 ^ 43) -- 279 years, should it be longer
      end
      redis.call('SET', KEYS[i], text, 'PX', ttl)
    end
  end
end
