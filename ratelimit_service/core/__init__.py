"""The decisions of the rate limiter: pure functions over values, time an argument.

limit      what a rule allows: units, limits, what to do when the store is away
bucket     the token bucket: the executable specification of storage/lua/take.lua
source     a parsed rule file as plain values that remember their line and column
rules      source -> RuleSet, every problem gathered
match      domain and descriptor -> rule
keys       domain and descriptor -> store key
decide     plan(): descriptors -> charges; judge(): debts -> verdict
"""
