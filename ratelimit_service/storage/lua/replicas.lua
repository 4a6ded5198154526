-- replicas: say that a process lives, forget those that fell silent, and count the rest.
--
-- KEYS     the sorted set of processes by the time of their last word
-- ARGV     name of this one, seconds of silence after which a process is gone
-- Returns  how many live, this one with them

local clock = redis.call('TIME')
local now = tonumber(clock[1])
local silent = tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - silent)
redis.call('EXPIRE', KEYS[1], silent)
return redis.call('ZCARD', KEYS[1])
