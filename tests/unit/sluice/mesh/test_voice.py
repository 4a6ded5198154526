"""What is said reaches its reader, and never holds the supervisor up."""

from __future__ import annotations

import contextlib
import os

import pytest

from sluice.mesh.voice import ReaderGoneError, Voice
from sluice.outcome import OperatorError


def test_results_and_notes_go_their_own_ways() -> None:
    out_reader, out = os.pipe()
    err_reader, err = os.pipe()
    voice = Voice(out=out, err=err)
    voice.say("ready {}")
    voice.note("ratelimit ended (signal 9)")
    assert os.read(out_reader, 100) == b"ready {}\n"
    assert os.read(err_reader, 100) == b"ratelimit ended (signal 9)\n"
    for descriptor in (out_reader, out, err_reader, err):
        os.close(descriptor)


def test_a_reader_of_results_that_left_is_noticed() -> None:
    reader, out = os.pipe()
    os.close(reader)
    with pytest.raises(ReaderGoneError):
        Voice(out=out).say("ready {}")
    os.close(out)


def test_a_line_that_cannot_be_written_is_a_failure_and_no_wish_to_stop() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OperatorError, match="No space left on device"):
        Voice(out=full).say("ready {}")
    os.close(full)


def test_a_reader_that_does_not_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.mesh.voice._PATIENCE_MS", 10)
    reader, out = os.pipe()
    os.set_blocking(out, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(out, b"x" * 4096)
    with pytest.raises(OperatorError, match="nobody has read stdout"):
        Voice(out=out).say("ready {}")
    os.close(reader)
    os.close(out)


def test_notes_that_nobody_reads_are_dropped_and_never_block() -> None:
    reader, err = os.pipe()
    voice = Voice(err=err)
    for _ in range(5000):  # far more than a pipe holds; blocking would end in the test's timeout
        voice.note("x" * 100)
    os.close(reader)
    voice.note("to nobody at all")
    os.close(err)
