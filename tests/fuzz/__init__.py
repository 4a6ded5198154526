"""Coverage-guided fuzzing: `python -m tests.fuzz.connection`, `.http_one` or `.messages`.

Each takes the arguments of libFuzzer and of atheris: `-atheris_runs=20000`, a folder of inputs to
begin with and to add to. Without a folder a run begins with the target's own seeds. The package
atheris is needed for this and for nothing else; a short form of each target is in the test suite.
"""
