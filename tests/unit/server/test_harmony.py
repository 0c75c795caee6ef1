"""Answers of gpt-oss: channels apart, calls as they are written, in parts of any length."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgellm.server.generation.calls.pieces import CallDelta, CallEnd, CallStart
from edgellm.server.generation.reading.harmony import HarmonyReader
from edgellm.server.generation.reading.reader import Piece

Read = list[tuple[str, ...]]


def read(text: str, length: int, *, is_cut: bool = False, in_answer: bool = False) -> Read:
    """The pieces of ``text`` in parts of ``length``; those that follow each other and are of one kind are one."""
    reader = HarmonyReader(in_answer=in_answer)
    found = [piece for at in range(0, len(text), length) for piece in reader.push(text[at : at + length])]
    joined: Read = []
    for piece in [*found, *reader.finish(is_cut=is_cut)]:
        match piece:
            case Piece(kind, more) if joined and joined[-1][0] == kind:
                joined[-1] = (kind, joined[-1][1] + more)
            case Piece(kind, more):
                joined.append((kind, more))
            case CallStart(name):
                joined.append(("begun", name, ""))
            case CallDelta(more):
                joined[-1] = (*joined[-1][:2], joined[-1][2] + more)
            case CallEnd(is_whole):
                joined[-1] = ("call" if is_whole else "broken", *joined[-1][1:])
    return joined


THOUGHT = "<|channel|>analysis<|message|>Hm, a city.<|end|>"
CALL = '<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{"city": "Oslo"}'
WEATHER = ("call", "weather", '{"city":"Oslo"}')
CASES: dict[str, tuple[str, Read]] = {
    "an answer": ("<|channel|>final<|message|>It rains.<|return|>", [("text", "It rains.")]),
    "a thought and an answer": (
        f"{THOUGHT}<|start|>assistant<|channel|>final<|message|>It rains.",
        [("thinking", "Hm, a city."), ("text", "It rains.")],
    ),
    "a thought and a call": (f"{THOUGHT}<|start|>assistant{CALL}<|call|>", [("thinking", "Hm, a city."), WEATHER]),
    "a call without its end": (CALL, [WEATHER]),
    "the recipient before the channel": (
        ' to=functions.weather<|channel|>commentary json<|message|>{"city": "Oslo"}<|call|>',
        [WEATHER],
    ),
    "what it says before a call": (
        f"<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant{CALL}",
        [("text", "Let me see."), WEATHER],
    ),
    "two messages for the user": (
        "<|channel|>commentary<|message|>First.<|end|><|start|>assistant<|channel|>final<|message|>Then.",
        [("text", "First.\n\nThen.")],
    ),
    "no message at all": ("It rains <b>.", [("text", "It rains <b>.")]),
    "a marker of another kind": (
        "<|channel|>final<|message|>a <|b|> c <",
        [("text", "a <|b|> c <")],
    ),
    "arguments that are no JSON": (
        "<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{city}<|call|>",
        [("broken", "weather", "{"), ("text", "city}")],
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("length", [1, 2, 3, 7, 1000])
def test_answers_are_read_in_parts_of_any_length(name: str, length: int) -> None:
    text, expected = CASES[name]
    assert read(text, length) == expected


def test_a_call_that_is_cut_off_is_one_as_far_as_it_came() -> None:
    for length in range(CALL.index("{"), len(CALL)):
        (call,) = read(CALL[:length], 3, is_cut=True)
        assert call[:2] == ("broken", "weather")
        assert WEATHER[2].startswith(call[2])


def test_a_message_that_the_prompt_began() -> None:
    assert read("{}<|return|>", 1, in_answer=True) == [("text", "{}")]


@settings(deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(
            ["<|channel|>", "<|message|>", "<|end|>", "<|start|>", "<|call|>", "final", "analysis", "to=functions.a"]
        )
        | st.text(alphabet='ab{}": <|>', max_size=4),
        max_size=12,
    ),
    length=st.integers(1, 9),
)
def test_the_cuts_do_not_matter(parts: list[str], length: int) -> None:
    text = "".join(parts)
    assert read(text, length) == read(text, 10_000)
