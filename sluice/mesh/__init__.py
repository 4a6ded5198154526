"""The mesh: its parts, and the supervisor that keeps them up.

What a mesh is (values, no processes):
    ports.py         which port each part gets
    part.py          what a part is
    interpreter.py   how our own modules are run
    drain.py         how long a service may drain
    parts.py         the table of parts; a new part is one entry there
    plan.py          one run's choices, resolved: ports, folders, store, rules
    envoy_config.py  Envoy's file, found and rendered
    binaries.py      the embedded Envoy and Valkey, or why there is none
    store.py         whether a Redis of the user's own answers
    state.py         the folder with data and logs

How it is kept up:
    supervisor.py    all parts: order, signals, the end
    keeper.py        one part's life: start, health, restart, stop
    child.py         one process, tied to us by tether.py (its own exec) and
    guard.py         the guardian (guardian.py), which outlives us to clean up
    probes.py        is it healthy?  backoff.py, part_log.py, voice.py: as they say
"""
