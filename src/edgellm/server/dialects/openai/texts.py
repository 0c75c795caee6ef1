"""Texts, or their token ids, as prompts and inputs of embeddings have them."""

from __future__ import annotations

from edgellm.errors import UsageError

__all__ = ["Texts", "read_texts"]

Texts = str | list[str | int | list[int]]
"""A text, its token ids, or a list of either."""


def read_texts(given: Texts, name: str, most: int) -> list[str | tuple[int, ...]]:
    """Each text of the field ``name``. Raises UsageError for none, more than ``most``, and for a mixture."""
    if isinstance(given, str):
        return [given]
    ids = [item for item in given if isinstance(item, int)]
    if not given:
        raise UsageError(f"{name} is empty")
    if len(ids) == len(given):
        return [tuple(ids)]
    if ids:
        raise UsageError(f"{name} must be a text, token ids, or a list of either")
    if len(given) > most:
        raise UsageError(f"{name} has {len(given)} items; at most {most} are possible")
    return [item if isinstance(item, str) else tuple(item) for item in given if not isinstance(item, int)]
