"""The normalizer section of tokenizer.json: what it does to text that llama.cpp does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm_converters.tokenizer.files import take
from edgellm_converters.tokenizer.vocabulary import Normalization

__all__ = ["Normalizer", "read_normalizer"]

_WHERE = "the normalizer of tokenizer.json"
_SPACE = "\u2581"
_FORMS: dict[str, Normalization] = {"NFC": "NFC", "NFD": "NFD", "NFKC": "NFKC", "NFKD": "NFKD"}


@dataclass(frozen=True)
class Normalizer:
    """``form``: Unicode form. ``prepends_space``, ``marks_spaces``: the two halves of SentencePiece's handling."""

    form: Normalization | None = None
    prepends_space: bool = False
    marks_spaces: bool = False


def read_normalizer(section: object) -> Normalizer:
    """What ``section`` does. Raises UnsupportedError for steps that llama.cpp cannot follow and a caller cannot do."""
    form: Normalization | None = None
    prepends = marks = False
    for part in _parts(section):
        kind = part.get("type")
        if isinstance(kind, str) and kind in _FORMS and form is None:
            form = _FORMS[kind]
        elif kind == "Prepend" and part.get("prepend") == _SPACE:
            prepends = True
        elif kind == "Replace" and part.get("pattern") == {"String": " "} and part.get("content") == _SPACE:
            marks = True
        else:
            raise UnsupportedError(
                f"the tokenizer normalizes text with {kind!r:.60}, which llama.cpp does not",
                hint="known normalizers: none, NFC, NFD, NFKC, NFKD, and SentencePiece's Prepend and Replace of spaces",
            )
    return Normalizer(form, prepends, marks)


def _parts(section: object) -> list[dict[str, Any]]:
    if section is None:
        return []
    if not isinstance(section, dict):
        raise CheckpointError(f"{_WHERE} is malformed", hint="the file is damaged: fetch it again")
    if section.get("type") != "Sequence":
        return [section]
    parts = take(section, "normalizers", list, _WHERE)
    if len(parts) > 64 or not all(isinstance(part, dict) for part in parts):
        raise CheckpointError(f"{_WHERE} is malformed", hint="the file is damaged: fetch it again")
    return parts
