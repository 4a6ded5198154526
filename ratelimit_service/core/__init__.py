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
    planner     descriptors -> plan: what each limit will cost
    judge       what each charge met -> verdict
    replica     one process's part of a plan, while each counts alone
    netting     refunds taken off the charges beside them; lease: tokens taken ahead

Counting
    bucket, window, charge, take, grant: the executable specification of storage/lua
    tally, hot_keys: what was decided, by rule and by key

Quotas
    bucket_id   a bucket's pairs in the order of the rules
    quota       one limit split among streams; share: what one of them has, and will want
"""
