"""Which special tokens the post_processor of tokenizer.json puts around a text.

The outcome equals that of llama.cpp's converter (``SpecialVocab`` in gguf-py) for the shapes that released models
use; the proof at pack time compares it with what the `tokenizers` library does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgellm.errors import CheckpointError

__all__ = ["Around", "read_post_processor"]


@dataclass
class Around:
    """``bos``, ``eos``, ``cls``, ``sep``: texts of the special tokens as they are known so far.

    ``add``: add_*_token flags by kind. ``eot``: a former eos, when the post_processor ends texts with another token.
    """

    bos: str | None = None
    eos: str | None = None
    cls: str | None = None
    sep: str | None = None
    eot: str | None = None
    add: dict[str, bool] = field(default_factory=dict)


def read_post_processor(section: object, around: Around) -> Around:
    """Update ``around`` (texts from tokenizer_config.json) with what ``section`` says.

    Raises CheckpointError when the section is malformed.
    """
    if section is None:
        return around
    processors = section.get("processors", [section]) if isinstance(section, dict) else None
    if not isinstance(processors, list) or not all(isinstance(part, dict) for part in processors):
        raise CheckpointError(
            "the post_processor of tokenizer.json is malformed", hint="the file is damaged: fetch it again"
        )
    for part in processors:
        kind = part.get("type")
        if kind == "ByteLevel":
            around.add.setdefault("bos", False)
            around.add.setdefault("eos", False)
        elif kind == "TemplateProcessing":
            _template(part, around)
    return around


def _template(part: dict[str, Any], around: Around) -> None:
    single = _pieces(part.get("single"))
    first = last = None
    if len(single) > 1:
        if first := _special(single[0]):
            if first not in (around.bos, around.cls):
                around.bos = around.bos or first
                around.cls = around.cls or first
            around.add["bos"] = first in (around.bos, around.cls)
        if last := _special(single[-1]):
            if around.eos is not None and last != around.eos:
                around.eot = around.eos
            around.eos = last
            around.add["eos"] = True
    pair = _pieces(part.get("pair"))
    if pair and first and _special(pair[0]) == first:
        pair = pair[1:]
    if pair and last and _special(pair[-1]) == last:
        pair = pair[:-1]
    between = pair[1:-1]
    if between and _sequence(pair[0]) == "A" and _sequence(pair[-1]) == "B":
        ends = (around.sep, around.eos)
        around.add["sep"] = (_special(between[0]) in ends and not last and _special(between[0]) is not None) or (
            len(between) == 2 and _special(between[1]) is not None and _special(between[1]) in ends
        )


def _pieces(value: object) -> list[dict[str, Any]]:
    return [piece for piece in value if isinstance(piece, dict)] if isinstance(value, list) else []


def _special(piece: dict[str, Any]) -> str | None:
    return _id(piece.get("SpecialToken"))


def _sequence(piece: dict[str, Any]) -> str | None:
    return _id(piece.get("Sequence"))


def _id(value: object) -> str | None:
    name = value.get("id") if isinstance(value, dict) else None
    return name if isinstance(name, str) else None
