"""The demo: its rules, its origin, and the run that proves the mesh works.

rules/           the rate-limit rules of domain `demo`
origin.py        the server behind Envoy
__main__.py      `python -m sluice.demo`: bring the mesh up, send calls, check, report
mesh_process.py  `sluice up` as a child of the demo
calls.py         calls through Envoy, measured
expectations.py  what must be true of them
"""
