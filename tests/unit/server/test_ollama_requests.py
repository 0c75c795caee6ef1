"""What Ollama's clients write, as our parameters."""

from __future__ import annotations

from typing import Any

import pytest

from edgellm.errors import UsageError
from edgellm.server.dialects.ollama.durations import parse_keep_alive
from edgellm.server.dialects.ollama.options import answer_options, asked_context, check_options, format_grammar
from edgellm.server.dialects.ollama.templates import require_jinja


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        (300, 300),
        ("300", 300),
        (0, 0),
        ("0", 0),
        ("0s", 0),
        (-1, -1),
        ("-1", -1),
        ("-1m", -1),
    ],
)
def test_a_keep_alive_in_seconds(value: Any, seconds: float | None) -> None:
    assert parse_keep_alive(value) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("value", ["soon", "5 parsecs", "m", "--5m", "5m!", "1" * 100, "nan", float("nan")])
def test_no_keep_alive(value: Any) -> None:
    with pytest.raises(UsageError, match="keep_alive"):
        parse_keep_alive(value)


def test_options_have_our_names() -> None:
    options = check_options(
        {"temperature": 1, "repeat_last_n": 7, "num_ctx": 128, "num_predict": 5, "stop": "END", "num_gpu": 99, "x": 1}
    )
    assert asked_context(options) == 128
    answer = answer_options(options, logprobs=True, top_logprobs=2)
    assert answer.sampling == {"temperature": 1.0, "repetition_window": 7, "max_tokens": 5, "logprobs": 2}
    assert answer.stop == ("END",)
    assert (answer.overflow, answer.keep) == ("shift", 4)


def test_what_is_not_said_is_left_to_the_model() -> None:
    answer = answer_options(check_options({"num_predict": -1, "seed": -1, "top_p": None}))
    assert answer.sampling == {}
    assert asked_context({}) is None


@pytest.mark.parametrize(
    ("truncate", "shift", "overflow"),
    [(None, None, "shift"), (True, False, "truncate"), (None, False, "truncate"), (False, None, "error")],
)
def test_what_happens_at_the_end_of_the_context(truncate: bool | None, shift: bool | None, overflow: str) -> None:
    assert answer_options({}, truncate=truncate, shift=shift).overflow == overflow


@pytest.mark.parametrize(
    "options", [{"top_k": 1.5}, {"seed": "a"}, {"stop": [1]}, {"temperature": True}, {"num_ctx": [1]}]
)
def test_an_option_of_another_type_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        check_options(options)


def test_formats() -> None:
    assert format_grammar(None) is None
    assert format_grammar("") is None
    assert format_grammar("json") is not None
    found = format_grammar({"type": "array"})
    assert found is not None
    assert (found.kind, found.text) == ("json_schema", '{"type":"array"}')
    for wrong in ("yaml", 7, ["a"]):
        with pytest.raises(UsageError, match="format"):
            format_grammar(wrong)


@pytest.mark.parametrize("template", ["{{ .Prompt }}", "{{- if .System }}", "{{ range .Messages }}{{ end }}"])
def test_templates_for_go_are_recognised(template: str) -> None:
    with pytest.raises(UsageError, match="Jinja"):
        require_jinja(template)


@pytest.mark.parametrize(
    "template", ["{{ prompt }}", "{% if system %}{{ system }}{% endif %}", "{{- messages[0].content }}"]
)
def test_templates_in_jinja_pass(template: str) -> None:
    require_jinja(template)
