-- begin: what the scripts of the meters begin with: the store's clock, and what is there.
-- Everything is an integer below 2^53, as in core/bucket.py and core/window.py, the twins. What
-- most calls do not need, windows and modes, is in a function, all_meters: making functions that
-- are not called would cost a tenth of the time of a call.
--
-- KEYS     one per meter, no key twice
-- ARGV[1]  shapes of charges, eight doubles each: cost, mode, kind (0 bucket, 1 window, 2 window
--          of a calendar), and five of its kind, the last of which may mean nothing
-- ARGV[2]  charges, three 16-bit numbers each: index into KEYS, number of its shape, from 1, and how
--          many of its request follow
-- Returns  none of its own

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2] -- microseconds
local stored = redis.call('MGET', unpack(KEYS))
local cells = {} -- by index into KEYS, what is to be stored; a bucket's or a window's
local met = {} -- the reply
local rows, unpacked = ARGV[2], struct.unpack
local shapes = {}
for at = 1, #ARGV[1], 64 do
  shapes[#shapes + 1] = { unpacked('<dddddddd', ARGV[1], at) }
end
