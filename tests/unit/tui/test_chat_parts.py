"""What a chat is made of: the window of messages, parameters, presets, lines of Markdown, exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import NotFoundError, UsageError
from edgellm.tui.chat.attachments import read_attachment
from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.export import as_json, as_markdown
from edgellm.tui.chat.parameters import CHAT_PARAMETERS, default_of, parameter, read_value, shown_value
from edgellm.tui.chat.presets import Presets
from edgellm.tui.chat.records import Attachment, ChatSettings
from edgellm.tui.chat.view.look import Look
from edgellm.tui.chat.view.markdown_lines import MarkdownLines, code_blocks
from edgellm.tui.chat.window import Sent, Window, first_sent, shorter

LOOK = Look("blue", "bright_black", "yellow", "default", "ansi_dark")
MARKDOWN = """# Title

Some **bold** text, and `code`.

1. one
2. two
   - three

```python
x = 1

y = 2
```

| a | b |
|---|---|
| 1 | 2 |

> quoted

last line
"""


def turns(count: int, characters: int = 30) -> list[Sent]:
    return [Sent(index + 1, index % 2 == 0, characters) for index in range(count)]


def lines_of(text: str, width: int = 40) -> list[str]:
    return [strip.text for strip in MarkdownLines(LOOK, width).update(text)]


def test_all_is_sent_while_it_fits_or_nobody_knows_the_context() -> None:
    assert first_sent(turns(1001), 0, Window(), None, None) == 0
    assert first_sent(turns(9), 0, Window(512), None, None) == 0


def test_what_is_left_out_leaves_room_for_more_and_stays_left_out() -> None:
    first = first_sent(turns(41), 0, Window(512), None, None)
    assert first > 0
    assert turns(41)[first].is_user
    assert first_sent(turns(43), 0, Window(512), None, first) == first
    assert first_sent(turns(201), 0, Window(512), None, first) > first


@given(
    count=st.integers(1, 60), characters=st.integers(0, 5000), context=st.integers(1, 4096), most=st.integers(1, 9999)
)
def test_the_last_message_is_always_sent(count: int, characters: int, context: int, most: int) -> None:
    sent = turns(2 * count - 1, characters)
    first: int | None = first_sent(sent, 0, Window(context), most, None)
    while first is not None:
        assert 0 <= first < len(sent)
        assert sent[first].is_user
        later = shorter(sent, first)
        assert later is None or later > first
        first = later


@pytest.mark.parametrize("name", [each.name for each in CHAT_PARAMETERS])
def test_what_is_shown_of_a_parameter_can_be_typed(name: str) -> None:
    wanted = parameter(name.replace("_", "-").upper())
    samples: dict[str, list[Any]] = {
        "whole": [int(max(wanted.low, 0)), int(min(wanted.high, 2))],
        "number": [wanted.low, 0.5 if wanted.low <= 0.5 <= wanted.high else wanted.high],
        "flag": [True, False],
        "word": list(wanted.words),
        "texts": [("\n", '"', "a,b"), ("x",)],
        "biases": [{5: -1.5, 7: float("-inf")}],
    }
    values = [value for value in samples[wanted.kind] if not (name == "mirostat" and value == 1)]
    for value in (*values, default_of(wanted)):
        if value not in (None, {}):
            assert read_value(wanted, shown_value(value)) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("temperature", "hot"),
        ("temperature", "-1"),
        ("top_k", "1.5"),
        ("order", "mine"),
        ("ignore_eos", "maybe"),
        ("logit_bias", "a=b"),
        ("mirostat", "1"),
        ("temperature", "nan"),
    ],
)
def test_what_a_parameter_cannot_be_is_refused(name: str, text: str) -> None:
    with pytest.raises(UsageError, match=name):
        read_value(parameter(name), text)


def test_an_unknown_parameter_is_told_with_what_was_meant() -> None:
    with pytest.raises(UsageError) as caught:
        parameter("temprature")
    assert caught.value.hint == "did you mean temperature?"
    with pytest.raises(UsageError):
        parameter("logprobs")


def test_presets_of_the_user_stand_beside_ours(tmp_path: Path) -> None:
    presets = Presets(tmp_path / "presets.json")
    presets.save("mine", {"temperature": 0.7, "logit_bias": {5: float("-inf")}})
    assert Presets(tmp_path / "presets.json").get("mine") == {"temperature": 0.7, "logit_bias": {"5": None}}
    assert list(presets.all())[:1] == ["model"]
    with pytest.raises(NotFoundError, match="nothing"):
        presets.get("nothing")
    for name in ("", "a/b", "x" * 41):
        with pytest.raises(UsageError, match="is no name"):
            presets.save(name, {})
    with pytest.raises(UsageError, match="nothing is kept"):
        Presets(None).save("mine", {})
    (tmp_path / "presets.json").write_text('{"torn')
    assert presets.get("exact") == {"temperature": 0.0}


@pytest.mark.parametrize("step", [1, 3, 17])
def test_markdown_that_grows_ends_as_the_whole(step: int) -> None:
    growing = MarkdownLines(LOOK, 40)
    for end in range(0, len(MARKDOWN), step):
        growing.update(MARKDOWN[:end])
    grown = [strip.text for strip in growing.update(MARKDOWN)]
    assert grown == lines_of(MARKDOWN)
    assert grown[0].rstrip() == "Title"
    assert "last line" in grown[-1]


@given(
    text=st.text(alphabet=st.sampled_from("ab *_`#>-1.|\n\t[]()\x1b\x07漢é"), max_size=200), width=st.integers(1, 60)
)
def test_any_text_is_shown_within_its_width_and_steers_nothing(text: str, width: int) -> None:
    shown = lines_of(text, width)
    assert all(letter not in line for line in shown for letter in "\x1b\x07")
    assert all(strip.cell_length <= max(width, 8) for strip in MarkdownLines(LOOK, width).update(text))


def test_code_is_found() -> None:
    assert code_blocks(MARKDOWN) == ["x = 1\n\ny = 2\n"]


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(b"\x89PNG\xff")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        read_attachment(str(tmp_path / "photo"))
    (tmp_path / "zeros").write_bytes(b"a\0b")
    with pytest.raises(UsageError, match="is not text"):
        read_attachment(str(tmp_path / "zeros"))
    with pytest.raises(NotFoundError):
        read_attachment(str(tmp_path / "none"))


def test_exports_have_everything_that_is_shown() -> None:
    conversation = Conversations(None).begin(ChatSettings(model="tiny", system="Be brief."))
    conversation.add("user", "Look", attachments=(Attachment("a.md", "```\ncode\n```"),))
    conversation.add("assistant", "I see", parent=1, thoughts="hm", model="tiny", finish="stopped")
    shown = as_markdown(conversation)
    for text in (
        "# Look",
        "> **System:** Be brief.",
        "## You",
        "````\n```\ncode\n```\n````",
        "hm",
        "## tiny",
        "*(stopped)*",
    ):
        assert text in shown, text
    document = json.loads(as_json(conversation))
    assert [each["role"] for each in document["messages"]] == ["user", "assistant"]
    assert document["messages"][1]["thoughts"] == "hm"
