"""Passwords in URLs are masked, their hosts are not."""

from __future__ import annotations

import pytest

from chassis.masking import mask_urls, mask_value, passwords_in

URLS = [
    ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
    ("redis://ada:secret@db:6379/0", "redis://ada:******@db:6379/0"),
    ("redis://:secret@db", "redis://:******@db"),
    ("rediss://:p@ss:w@db:6379", "rediss://:******@db:6379"),
    ("REDIS://ada:se/cr?et@db", "REDIS://ada:******@db"),
    ("redis://a:one@db1,redis://b:two@db2", "redis://a:******@db1,redis://b:******@db2"),
    ("redis://a:o,n@e@db1:1,rediss://b:two@db2", "redis://a:******@db1:1,rediss://b:******@db2"),
    ("redis://ada:pw@node-1:1,node-2:2", "redis://ada:******@node-1:1,node-2:2"),
]


@pytest.mark.parametrize(("url", "shown"), URLS)
def test_a_url_keeps_its_hosts_and_loses_its_passwords(url: str, shown: str) -> None:
    assert mask_value(url) == shown
    assert mask_urls(f"cannot reach {url}, 2 tries") == f"cannot reach {shown}, 2 tries"


@pytest.mark.parametrize("value", ["ada:hunter22@host", "x,ada:hunter22@host", "ada:hunter22@"])
def test_a_setting_that_was_meant_to_be_a_url_is_masked_too(value: str) -> None:
    assert "hunter22" not in mask_value(value)


@pytest.mark.parametrize(
    "text", ["at 12:30 bob@example.com wrote", "a:b", "user@host:22", "http://h:80/x and a@b"]
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert mask_urls(text) == text


def test_every_password_of_a_list_is_known() -> None:
    assert list(passwords_in("redis://a:one@db1,redis://b:t@wo@db2")) == ["one", "t@wo"]
