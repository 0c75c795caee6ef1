"""Streamed text: whole characters only, and nothing of a stop string."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import UsageError
from edgellm_runtimes.detokenizer import IncrementalDetokenizer, StopMatcher


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(data[start : start + size])
        start += size
    return [*pieces, data[start:]]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.integers(0, 5)))
def test_text_cut_anywhere_comes_out_whole(text: str, sizes: list[int]) -> None:
    detokenizer = IncrementalDetokenizer()
    shown = [detokenizer.push(piece) for piece in cut(text.encode(), sizes)]
    assert "".join(shown) + detokenizer.finish() == text


@given(st.binary(), st.lists(st.integers(0, 5)))
def test_bytes_that_are_not_text_become_replacement_characters(data: bytes, sizes: list[int]) -> None:
    detokenizer = IncrementalDetokenizer()
    shown = "".join(detokenizer.push(piece) for piece in cut(data, sizes)) + detokenizer.finish()
    assert shown == data.decode("utf-8", "replace")


def test_a_begun_character_waits_for_its_end() -> None:
    detokenizer = IncrementalDetokenizer()
    assert [detokenizer.push(bytes([byte])) for byte in "é🎉".encode()] == ["", "é", "", "", "", "🎉"]
    assert detokenizer.push("é".encode()[:1]) == ""
    assert detokenizer.finish() == "�"


SHORT = st.text("ab<|", max_size=12)
STOPS = st.lists(st.text("ab<|", min_size=1, max_size=4), min_size=1, max_size=3)


@given(SHORT, STOPS, st.lists(st.integers(0, 3)))
def test_how_the_text_is_cut_does_not_change_what_is_shown(text: str, stops: list[str], sizes: list[int]) -> None:
    def show(pieces: list[str]) -> tuple[str, str | None]:
        matcher = StopMatcher(stops)
        shown = "".join(matcher.push(piece) for piece in pieces)
        return shown + matcher.finish(), matcher.matched

    pieces = [piece.decode() for piece in cut(text.encode(), sizes)]
    assert show(pieces) == show([text])


@given(SHORT, STOPS)
def test_a_stop_string_is_never_shown(text: str, stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    shown = "".join(matcher.push(character) for character in text)
    assert not any(stop in shown for stop in stops)
    if matcher.matched is None:
        assert shown + matcher.finish() == text
        assert not any(stop in text for stop in stops)
    else:
        assert text.startswith(shown + matcher.matched)
        assert matcher.finish() == ""


def test_text_that_may_become_a_stop_string_is_held_back() -> None:
    matcher = StopMatcher(["</end>"])
    assert matcher.push("one </e") == "one "
    assert matcher.push("lse>") == "</else>"
    assert matcher.push("two </end> three") == "two "
    assert matcher.matched == "</end>"
    assert matcher.push("more") == ""


def test_without_stop_strings_nothing_is_held() -> None:
    assert StopMatcher(()).push("anything") == "anything"


@pytest.mark.parametrize("stops", [[""], ["x" * 1025], ["x"] * 65, [3]])
def test_useless_stop_strings_are_refused(stops: list[str]) -> None:
    with pytest.raises(UsageError):
        StopMatcher(stops)
