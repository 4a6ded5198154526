"""The decisions of the rate limiter: pure functions over values, time an argument.

Rules
    source      a parsed rule file as plain values that remember their line and column
    fields      typed fields of one map, every problem gathered
    rules       source -> RuleSet: files, domains, descriptors
    allowances  the limits of a descriptor; shifts: the hours at which others hold
    doubts      what is not wrong but hardly meant
    rule        the rules as values; limit: what one allows
    schedule    hours, calendars: days and months, by the clocks of a time zone

A request
    descriptor  what a caller asks
    match       domain and descriptor -> rule; wildcard: patterns with `*`
    keys        domain and descriptor -> store key
    plan        descriptors -> charges
    judge       what each charge met -> verdict

Counting
    bucket, window, charge, take: the executable specification of storage/lua
"""
