"""Which calls are traced, by what their callers say."""

from __future__ import annotations

import pytest

from chassis.trace_context import NO_PARENT, UNSAMPLED, Parent, read_parent

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
T, S = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
NAMED = Parent(trace_id=TRACE, span_id=SPAN)
SAMPLED = Parent(trace_id=TRACE, span_id=SPAN, sampled=True)
NOT_SAMPLED = Parent(trace_id=TRACE, span_id=SPAN, sampled=False)


@pytest.mark.parametrize(
    ("value", "parent"),
    [
        (b"00-%s-%s-01" % (T, S), SAMPLED),
        (b"00-%s-%s-03" % (T, S), SAMPLED),
        (b"00-%s-%s-00" % (T, S), UNSAMPLED),
        (b"00-%s-%s-02" % (T, S), UNSAMPLED),
        # A later version may say more, which is left unread.
        (b"01-%s-%s-01" % (T, S), SAMPLED),
        (b"01-%s-%s-01-more" % (T, S), SAMPLED),
        (b"01-%s-%s-00-more" % (T, S), NOT_SAMPLED),
        (b"00-%s-%s-01-more" % (T, S), NO_PARENT),
        (b"ff-%s-%s-01" % (T, S), NO_PARENT),
        (b"00-%s-%s-01" % (b"0" * 32, S), NO_PARENT),
        (b"00-%s-%s-01" % (T, b"0" * 16), NO_PARENT),
        (b"00-%s-%s-01" % (T.upper(), S), NO_PARENT),
        (b"00-%s-%s-1" % (T, S), NO_PARENT),
        (b"00-%s-01" % T, NO_PARENT),
        (b"", NO_PARENT),
    ],
)
def test_traceparent(value: bytes, parent: Parent) -> None:
    assert read_parent(((b"te", b"trailers"), (b"traceparent", value))) == parent


def test_tracestate_goes_along_however_many_there_are() -> None:
    fields = (
        (b"tracestate", b"a=1"),
        (b"traceparent", b"00-%s-%s-01" % (T, S)),
        (b"tracestate", b"b=2"),
    )
    assert read_parent(fields).state == "a=1,b=2"


@pytest.mark.parametrize(
    ("value", "parent"),
    [
        (b"%s-%s-1" % (T, S), SAMPLED),
        (b"%s-%s-d" % (T, S), SAMPLED),
        (b"%s-%s-0" % (T, S), NOT_SAMPLED),
        (b"%s-%s-1-05e3ac9a4f6e3b90" % (T, S), SAMPLED),
        (b"%s-%s" % (T, S), NAMED),  # the decision is left to us
        (b"%s-%s-1" % (T[16:], S), Parent(trace_id=TRACE % 2**64, span_id=SPAN, sampled=True)),
        (b"0", Parent(sampled=False)),
        (b"1", Parent(sampled=True)),
        (b"%s-%s-2" % (T, S), NO_PARENT),
        (b"nonsense", NO_PARENT),
    ],
)
def test_b3_in_one_header(value: bytes, parent: Parent) -> None:
    assert read_parent(((b"b3", value),)) == parent


@pytest.mark.parametrize(
    ("fields", "parent"),
    [
        ({b"sampled": b"1"}, SAMPLED),
        ({b"sampled": b"true"}, SAMPLED),
        ({b"sampled": b"0"}, NOT_SAMPLED),
        ({b"sampled": b"False"}, NOT_SAMPLED),
        ({b"flags": b"1"}, SAMPLED),
        ({b"flags": b"1", b"sampled": b"0"}, SAMPLED),
        ({b"sampled": b"maybe"}, NAMED),
        ({}, NAMED),
        ({b"traceid": b"short", b"sampled": b"1"}, Parent(sampled=True)),
        ({b"spanid": b"0" * 16, b"sampled": b"0"}, Parent(sampled=False)),
    ],
)
def test_b3_in_several_headers(fields: dict[bytes, bytes], parent: Parent) -> None:
    every = {b"traceid": T, b"spanid": S, **fields}
    assert read_parent([(b"x-b3-" + name, value) for name, value in every.items()]) == parent


def test_only_a_broken_traceparent_gives_way_to_b3() -> None:
    b3 = (b"b3", b"%s-%s-1" % (T, S))
    assert read_parent((b3, (b"traceparent", b"broken"))) == SAMPLED
    assert read_parent((b3, (b"traceparent", b"00-%s-%s-00" % (T, S)))) == UNSAMPLED


def test_who_says_nothing_leaves_it_to_us() -> None:
    assert read_parent(((b"te", b"trailers"), (b"x-b4", b"1"))) is NO_PARENT
