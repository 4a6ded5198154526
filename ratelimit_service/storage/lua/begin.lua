-- begin: what the scripts of the meters begin with: the store's clock, and what is there.
-- Everything is an integer below 2^53, as in core/bucket.py and core/window.py, the twins. What
-- most calls do not need, windows and modes, is in a function, all_meters: making functions that
-- are not called would cost a tenth of the time of a call.
--
-- KEYS     one per meter, no key twice
-- ARGV     none of its own
-- Returns  none of its own

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2] -- microseconds
local stored = redis.call('MGET', unpack(KEYS))
local cells = {} -- by index into KEYS, what is to be stored; a bucket's or a window's
local met = {} -- the reply
