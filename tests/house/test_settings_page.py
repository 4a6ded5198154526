"""The generated page of settings says what the code says."""

from __future__ import annotations

from tools import gensettings


def test_the_page_is_what_the_code_says() -> None:
    assert gensettings.PAGE.read_text() == gensettings.page(), "run: make settings"


def test_the_references_names_are_on_it() -> None:
    names = ("GRPC_PORT", "RUNTIME_ROOT", "RUNTIME_SUBDIRECTORY", "REDIS_URL", "REDIS_TYPE")
    for name in names:
        assert f"| `{name}` |" in gensettings.page()
