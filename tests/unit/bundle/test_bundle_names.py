"""Names and references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.bundle.names import BundleName, Reference, default_name, parse_name, parse_reference
from edgellm.errors import UsageError

HEX = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tiny", Reference("tiny")),
        ("tiny:pi-q4", Reference("tiny", "pi-q4")),
        ("Tiny-LLM:Pi-Q4_K_M", Reference("tiny-llm", "pi-q4_k_m")),
        ("org/qwen2.5-0.5b:x", Reference("org/qwen2.5-0.5b", "x")),
        ("tiny@previous", Reference("tiny", previous=True)),
        ("tiny:a@previous", Reference("tiny", "a", previous=True)),
        (f"tiny@{HEX}", Reference("tiny", digest=HEX)),
    ],
)
def test_references_are_read(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected


ODD_NAMES = (
    *(
        "",
        ":",
        "a:",
        "-a",
        "a-",
        "a..b",
        "a//b",
        "/a",
        "../x",
        "a b",
        "a\nb",
        "a\0",
        "ä",
        "a:b:c",
        "a:.b",
        "a@",
        "a@old",
    ),
    *(
        "a@sha256:12",
        "a@sha256:" + "z" * 64,
        "a" * 201,
        "a:" + "b" * 129,
        "\x1b[31m",
        "a\\b",
        "c:\\x",
        "a:b/c",
        "a___b",
    ),
)


@pytest.mark.parametrize("text", ODD_NAMES)
def test_odd_names_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert caught.value.hint
    assert "\x1b" not in str(caught.value)


def test_the_hint_offers_a_name_that_is_accepted() -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference("My Model (final)!")
    assert "my-model-final" in str(caught.value.hint)


def test_a_new_name_takes_the_default_tag() -> None:
    assert parse_name("tiny", default_tag="pi-Q4_K_M") == BundleName("tiny", "pi-q4_k_m")
    assert parse_name("tiny:v1", default_tag="x") == BundleName("tiny", "v1")
    with pytest.raises(UsageError):
        parse_name("tiny@previous", default_tag="x")


def test_the_default_name_is_model_device_recipe() -> None:
    name = default_name("Qwen2.5-0.5B-Instruct", "raspberrypi5", "Q4_K_M")
    assert str(name) == "qwen2.5-0.5b-instruct:raspberrypi5-q4_k_m"
    assert default_name("model.F16.gguf", "local", "F16").name == "model.f16"
    assert default_name("...", "x", "F16").name == "model"


@given(st.text(), st.text(), st.text())
def test_a_default_name_is_always_a_valid_one(source: str, device: str, recipe: str) -> None:
    name = default_name(source, device, recipe)
    assert parse_reference(str(name)) == Reference(name.name, name.tag)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert parse_reference(str(reference)) == reference
