-- modes: a request of any charges (core/take.py).
--
-- KEYS     as bucket and window
-- ARGV     of a request: its charges, nine words each (see charge)
-- Returns  the answers of its charges

-- Answer the charges whose words begin at `first`, every nine to `last`; return what they leave.
local function request(first, last)
  local drafts, short = {}, {}
  for a = first, last, 9 do
    local mode, is_short = draft(drafts, a, true)
    short[mode] = short[mode] or is_short
  end
  if not (short[ENFORCED] or short[POSTPAID]) then return drafts end
  drafts = {}
  for a = first, last, 9 do
    local mode = tonumber(ARGV[a + 2])
    local made = mode == SHADOW or mode == COUNTED or mode == POSTPAID and not short[ENFORCED]
    if made then draft(drafts, a) end
  end
  return drafts
end

return { request = request, draft = draft, settled = settled, empty = empty, recount = recount,
  text = window_text }
