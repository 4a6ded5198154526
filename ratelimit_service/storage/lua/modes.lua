-- modes: a request of any charges (core/take.py).
--
-- KEYS     as bucket and window
-- ARGV     shapes and charges, as begin says
-- Returns  the answers of its charges

-- Answer the charges from the row at `first` to that at `last`; return what they leave.
local function request(first, last)
  local drafts, short = {}, {}
  for row = first, last, 6 do
    local mode, is_short = draft(drafts, row, true)
    short[mode] = short[mode] or is_short
  end
  if not (short[ENFORCED] or short[POSTPAID]) then return drafts end
  drafts = {}
  for row = first, last, 6 do
    local mode = shapes[unpacked('<H', rows, row + 2)][2]
    local made = mode == SHADOW or mode == COUNTED or mode == POSTPAID and not short[ENFORCED]
    if made then draft(drafts, row) end
  end
  return drafts
end

return { request = request, draft = draft, settled = settled, empty = empty, recount = recount,
  text = window_text }
