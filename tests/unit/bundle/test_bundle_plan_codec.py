"""Reading the plan layer."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from bundle_parts import make_plan
from edgellm.bundle.compatibility import version_key
from edgellm.bundle.plan import PLAN_FORMAT_VERSION
from edgellm.bundle.plan_codec import decode_plan, encode_plan
from edgellm.bundle.system_prompt import make_system_prompt, tokens_digest
from edgellm.errors import BundleError, UnsupportedError


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(encode_plan(make_plan())), **fields}).encode()


def test_a_plan_survives_writing_and_reading() -> None:
    assert decode_plan(encode_plan(make_plan()), "the plan") == make_plan()


def test_a_system_prompt_survives_writing_and_reading() -> None:
    plan = msgspec.structs.replace(make_plan(), system_prompt=make_system_prompt("Be brief.\n\tNow.", range(4095)))
    assert decode_plan(encode_plan(plan), "the plan") == plan
    assert b"system_prompt" not in encode_plan(make_plan())


def test_unknown_fields_are_ignored() -> None:
    assert decode_plan(changed(colour="blue"), "the plan") == make_plan()


def test_a_plan_that_asks_for_a_newer_edgellm_is_refused_with_its_version() -> None:
    with pytest.raises(UnsupportedError, match=r"needs edgellm >= 99\.1"):
        decode_plan(changed(minimum_edgellm="99.1"), "the plan")


def test_a_newer_format_is_refused_even_when_its_fields_have_changed() -> None:
    data = {"format_version": PLAN_FORMAT_VERSION + 1, "minimum_edgellm": "99.0", "target": 5}
    with pytest.raises(UnsupportedError, match=r"needs edgellm >= 99\.0"):
        decode_plan(json.dumps(data).encode(), "the plan")


def test_a_newer_format_without_a_version_is_refused_too() -> None:
    with pytest.raises(UnsupportedError, match="needs edgellm >="):
        decode_plan(changed(format_version=PLAN_FORMAT_VERSION + 1), "the plan")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b"{}",
        b'{"format_version": 1}',
        changed(format_version=0),
        changed(format_version="1"),
        changed(minimum_edgellm="soon"),
        changed(context=0),
        changed(context=2**40),
        changed(sequences=-1),
        changed(threads=-1),
        changed(system_prompt={"text": "x", "tokens": [1, 2], "digest": "sha256:" + "0" * 64}),
        changed(system_prompt={"text": "x", "tokens": [], "digest": tokens_digest([])}),
        changed(system_prompt={"text": "x", "tokens": [-1], "digest": tokens_digest([-1])}),
        changed(system_prompt={"text": "x", "tokens": [2**31], "digest": tokens_digest([1])}),
        changed(system_prompt={"text": "x", "tokens": [1] * 4096, "digest": tokens_digest([1] * 4096)}),
        changed(system_prompt={"text": "\x1b[31m", "tokens": [1], "digest": tokens_digest([1])}),
        changed(system_prompt={"text": "x", "tokens": [1]}),
        changed(recipe=7),
        changed(why="\x1b]0;owned\x07"),
        changed(why="\x9b31m"),
        changed(source={"kind": "gguf", "name": "x", "architecture": "y", "files": {"\x1b[2J": "z"}}),
        b'{"a": "' + b"x" * (4 << 20) + b'"}',
    ],
)
def test_a_plan_that_is_not_valid_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        decode_plan(data, "the plan")


def test_versions_are_compared_by_number() -> None:
    assert version_key("0.10.0", "x") > version_key("0.9", "x")
    assert version_key("1.0.0.dev3", "x") == version_key("1.0", "x")
