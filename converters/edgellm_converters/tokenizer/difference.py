"""Show where two tokenizations part."""

from __future__ import annotations

from edgellm_converters.tokenizer.corpus import Text

__all__ = ["describe_difference"]

_AROUND = 3
_SHOWN_CHARACTERS = 120


def describe_difference(
    text: Text, tokens: list[str], expected: list[int], found: list[int], reader: str = "llama.cpp"
) -> str:
    """Text, place, and the ids and tokens around the first differing place, on four lines."""
    place = next(
        (place for place, (left, right) in enumerate(zip(expected, found, strict=False)) if left != right),
        min(len(expected), len(found)),
    )
    shown = text.text if len(text.text) <= _SHOWN_CHARACTERS else text.text[:_SHOWN_CHARACTERS] + "..."
    return (
        f"  text ({text.kind}): {shown!r}\n"
        f"  first difference at token {place}\n"
        f"  the model's own: {_window(tokens, expected, place)}\n"
        f"  {reader + ':':<17}{_window(tokens, found, place)}"
    )


def _window(tokens: list[str], ids: list[int], place: int) -> str:
    start = max(0, place - _AROUND)
    parts = [
        f"{token_id} {tokens[token_id]!r}" if 0 <= token_id < len(tokens) else str(token_id)
        for token_id in ids[start : place + _AROUND + 1]
    ]
    before = "... " if start else ""
    after = " ..." if place + _AROUND + 1 < len(ids) else ""
    return f"{before}[{', '.join(parts)}]{after}" if parts else "nothing"
