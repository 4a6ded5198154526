"""The rate limiter: answers Envoy's ShouldRateLimit from token buckets in Redis.

It speaks envoyproxy/ratelimit's RPC, rule files and environment variables; what it cannot do of
them it refuses by name.

core/        the decisions, pure: rules, matching, the token bucket
service.py   the use case: plan, take, judge
storage/     buckets in Redis (one Lua script, batched) or memory; rules from a directory
transport/   RateLimitRequest bytes <-> core values; the RPC
config.py    Settings
app.py       wires the rooms together
"""
