from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import IntegrityError
from edgellm.sources.hub.repository import parse_repository

HUB = "https://hub.example"
SHA = "a" * 40
SHA256 = "b" * 64


def description(**changes: Any) -> dict[str, Any]:
    lfs = {"sha256": SHA256, "size": 5, "pointerSize": 134}
    siblings = [
        {"rfilename": "config.json", "size": 2, "blobId": SHA},
        {"rfilename": "sub/a b.gguf", "size": 5, "blobId": SHA, "lfs": lfs},
    ]
    return {"id": "own/mod", "sha": SHA, "siblings": siblings, "gated": False, "likes": 3, **changes}


def parse(value: object) -> Any:
    return parse_repository(json.dumps(value).encode(), HUB)


def test_files_have_sizes_hashes_and_addresses_pinned_to_the_commit() -> None:
    found = parse(description(gated="manual", private=True, tags=["x", 3]))
    config, weights = found.files
    assert (config.key, config.sha256, config.size_bytes) == (SHA, None, 2)
    assert (weights.key, weights.size_bytes, weights.name) == (SHA256, 5, "a b.gguf")
    assert weights.url == f"{HUB}/own/mod/resolve/{SHA}/sub/a%20b.gguf"
    assert (found.gated, found.private, found.tags, found.url) == (True, True, ("x",), f"{HUB}/own/mod")
    assert found.file("config.json") == config
    assert found.file("nothing") is None


def test_the_licence_comes_from_the_card_whatever_its_shape() -> None:
    card = {"license": "other", "license_name": "mine", "license_link": "LICENSE", "base_model": ["a/b", 7]}
    found = parse(description(cardData=card))
    assert (found.license, found.license_name, found.license_link) == ("other", "mine", "LICENSE")
    assert found.base_models == ("a/b",)
    assert parse(description(cardData={"license": ["mit", "apache-2.0"]})).license == "mit, apache-2.0"
    for odd in (None, [], "text", {"license": {"a": 1}}, {"license": None}):
        assert parse(description(cardData=odd)).license is None
    assert parse(description(cardData={"license": "a\x1b[31m"})).license == "a?[31m"


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "../x"},
        {"id": "a/b/c"},
        {"sha": "main"},
        {"sha": None},
        {"siblings": [{"rfilename": "../x", "size": 1, "blobId": SHA}]},
        {"siblings": [{"rfilename": "/x", "size": 1, "blobId": SHA}]},
        {"siblings": [{"rfilename": "a\\b", "size": 1, "blobId": SHA}]},
        {"siblings": [{"rfilename": "a\nb", "size": 1, "blobId": SHA}]},
        {"siblings": [{"rfilename": "x", "size": -1, "blobId": SHA}]},
        {"siblings": [{"rfilename": "x", "size": 2**60, "blobId": SHA}]},
        {"siblings": [{"rfilename": "x", "blobId": SHA}]},
        {"siblings": [{"rfilename": "x", "size": 1}]},
        {"siblings": [{"rfilename": "x", "size": 1, "blobId": "../../etc"}]},
        {"siblings": [{"rfilename": "x", "size": 1, "blobId": SHA, "lfs": {"sha256": SHA, "size": 1}}]},
        {"siblings": [{"rfilename": "x", "size": 1, "blobId": SHA}] * 2},
        {"siblings": [{"rfilename": "x", "size": 1.5, "blobId": SHA}]},
    ],
)
def test_a_description_that_lies_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse(description(**changes))
    assert caught.value.hint
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b"null", b"{}", b"[" * 200_000, b'{"id":"\xff"}'])
def test_what_is_no_description_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_repository(data, HUB)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_no_card_and_no_tags_break_it(value: object) -> None:
    parse(description(cardData={"license": value, "base_model": value}))
    assert parse(description(cardData=value)).files
