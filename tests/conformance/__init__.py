"""A conformance suite for rate-limit servers: tables of requests and the answers they must get.

It speaks `envoy.service.ratelimit.v3` and nothing else, so any server can be its target:

    python -m tests.conformance --target 127.0.0.1:8081

table      what a case is made of: requests, expected answers, waits
cases/     the tables, one file for each part of the contract
judge      an answer beside what was expected -> what is wrong with it
run        a case against a target -> what happened
report     outcomes -> lines and the summary
servers    the servers that the tests of this suite run it against
rules/     the rule files a target must be started with, in envoyproxy/ratelimit's YAML
"""
