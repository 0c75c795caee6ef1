"""Recognise the pre-tokenizer of tokenizer.json by its structure, and find llama.cpp's name for it.

llama.cpp knows a pre-tokenizer by name only (``tokenizer.ggml.pre``) and has the regex of each name built in. Its own
converter finds the name by hashing the tokens of a fixed text, which knows released models and nothing else. A
structure is the same whatever the vocabulary: a model trained yesterday on the same recipe is recognised too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm_converters.tokenizer.files import take
from edgellm_converters.tokenizer.pretokenizer_table import KNOWN, Step

__all__ = ["PreTokenizer", "recognise", "steps_of"]

_WHERE = "the pre_tokenizer of tokenizer.json"
_DEPTH_LIMIT = 8
# Spellings of one regex that match the same text.
_SPELLINGS = (
    ("[^\\r\\n\\p{L}\\p{N}]?+", "[^\\r\\n\\p{L}\\p{N}]?"),
    ("]++[\\r\\n", "]+[\\r\\n"),
    ("\\p{N}{1}|", "\\p{N}|"),
    ("(?i:[sdmt]|ll|ve|re)", "(?i:s|t|re|ve|m|ll|d)"),
    ("'(?i:s|t|re|ve|m|ll|d)", "(?i:'s|'t|'re|'ve|'m|'ll|'d)"),
)


@dataclass(frozen=True)
class PreTokenizer:
    """``name``: value of tokenizer.ggml.pre. ``exact``: whether llama.cpp's ignore_merges under that name is ours."""

    name: str
    exact: bool


def recognise(pre_tokenizer: object, *, ignore_merges: bool) -> PreTokenizer:
    """llama.cpp's name for the ``pre_tokenizer`` section of a byte-level BPE tokenizer.json.

    ``ignore_merges`` is the flag of the model section: a word that is a token as it stands is taken whole. Raises
    UnsupportedError for a structure that llama.cpp has no name for, CheckpointError for one that is malformed.
    """
    steps = steps_of(pre_tokenizer)
    wanted = _canonical(steps)
    matches = [known for known in KNOWN if _canonical(known.steps) == wanted]
    for known in matches:
        if known.ignore_merges == ignore_merges:
            return PreTokenizer(known.name, exact=True)
    if matches:
        return PreTokenizer(matches[0].name, exact=False)
    raise UnsupportedError(
        f"llama.cpp has no pre-tokenizer of this structure: {describe(steps)}",
        hint=f"known structures: {', '.join(sorted(known.name for known in KNOWN))}; a model whose tokenizer was "
        "trained with its own splitting rules cannot be run by llama.cpp",
    )


def steps_of(pre_tokenizer: object) -> tuple[Step, ...]:
    """Flatten a ``pre_tokenizer`` section into steps. Raises CheckpointError when it is malformed."""
    return tuple(_flatten(pre_tokenizer, 0))


def describe(steps: tuple[Step, ...]) -> str:
    """The structure on one line, for messages."""
    if not steps:
        return "none at all"
    text = ", ".join(
        f"{step[0]}({', '.join(json.dumps(part, ensure_ascii=False) for part in step[1:])})" for step in steps
    )
    return text if len(text) <= 600 else text[:600] + "..."


def _flatten(section: object, depth: int) -> list[Step]:
    if section is None:
        return []
    if not isinstance(section, dict) or depth > _DEPTH_LIMIT:
        raise CheckpointError(f"{_WHERE} is malformed", hint="the file is damaged: fetch it again")
    kind = take(section, "type", str, _WHERE)
    if kind == "Sequence":
        parts = take(section, "pretokenizers", list, _WHERE)
        return [step for part in parts[:64] for step in _flatten(part, depth + 1)]
    if kind == "Split":
        return [_split(section)]
    if kind == "ByteLevel":
        return _byte_level(section)
    if kind == "Digits":
        return [("digits", "each" if take(section, "individual_digits", bool, _WHERE, False) else "runs")]
    if kind == "Punctuation":
        return [("punctuation", take(section, "behavior", str, _WHERE, "Isolated"))]
    return [(kind, json.dumps({key: value for key, value in section.items() if key != "type"}, sort_keys=True))]


def _split(section: dict[str, Any]) -> Step:
    pattern = take(section, "pattern", dict, _WHERE)
    behavior = take(section, "behavior", str, _WHERE)
    invert = take(section, "invert", bool, _WHERE, False)
    regex = pattern.get("Regex")
    if not isinstance(regex, str):
        return ("split text", str(pattern.get("String")), behavior, str(invert))
    # Keeping the matches ("Removed" inverted) is isolating them when the regex matches every character, as all of
    # the table's single-regex structures do.
    if (behavior, invert) in (("Isolated", False), ("Removed", True)):
        return ("split", regex)
    return ("split", regex, behavior, "inverted" if invert else "")


def _byte_level(section: dict[str, Any]) -> list[Step]:
    steps: list[Step] = []
    if take(section, "add_prefix_space", bool, _WHERE, True):
        steps.append(("prefix space",))  # llama.cpp adds none for byte-level BPE
    steps.append(("bytelevel",) if take(section, "use_regex", bool, _WHERE, True) else ("bytes",))
    return steps


def _canonical(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    canonical = []
    for step in steps:
        if step[0] == "split":
            regex = step[1]
            for spelling, usual in _SPELLINGS:
                regex = regex.replace(spelling, usual)
            # A regex may hold a line feed itself or its escape; both match the same.
            step = ("split", regex.replace("\r", "\\r").replace("\n", "\\n"), *step[2:])
        canonical.append(step)
    return tuple(canonical)
