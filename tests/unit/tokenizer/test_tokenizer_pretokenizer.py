from __future__ import annotations

import copy
from typing import Any

import pytest
from tokenizer_builds import Write, pre_tokenizer_section, trained_byte_level

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm_converters.tokenizer import load_vocabulary, prove
from edgellm_converters.tokenizer.pretokenizer import recognise
from edgellm_converters.tokenizer.pretokenizer_table import KNOWN, KnownPreTokenizer

LLAMA3 = next(known for known in KNOWN if known.name == "llama-bpe")
QWEN2 = next(known for known in KNOWN if known.name == "qwen2")


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"{known.name}-{len(known.steps[0][-1])}")
def test_llama_cpp_splits_as_the_structure_says(known: KnownPreTokenizer, write: Write) -> None:
    tokenizer = trained_byte_level(pre_tokenizer_section(known.steps))
    tokenizer["model"]["ignore_merges"] = known.ignore_merges
    folder = write(tokenizer)
    vocabulary = load_vocabulary(folder, {})
    assert vocabulary.pre == known.name
    assert prove(folder, vocabulary).n_texts > 1000


def test_the_same_regex_without_ignore_merges_has_another_name() -> None:
    section = pre_tokenizer_section(LLAMA3.steps)
    assert recognise(section, ignore_merges=True).name == "llama-bpe"
    assert recognise(section, ignore_merges=False).name == "dbrx"


def test_a_flag_that_no_name_has_is_checked_on_every_token(write: Write) -> None:
    tokenizer = trained_byte_level(pre_tokenizer_section(QWEN2.steps))
    tokenizer["model"]["ignore_merges"] = True
    folder = write(tokenizer)
    vocabulary = load_vocabulary(folder, {})
    assert vocabulary.pre == "qwen2"
    assert vocabulary.check_all_tokens
    prove(folder, vocabulary)


def test_ignore_merges_is_refused_where_it_matters(write: Write) -> None:
    tokenizer = trained_byte_level(pre_tokenizer_section(QWEN2.steps))
    model = tokenizer["model"]
    model["ignore_merges"] = True
    word = max((token for token in model["vocab"] if token.isascii() and token.isalpha()), key=len)
    model["merges"] = [pair for pair in model["merges"] if "".join(pair) != word]
    folder = write(tokenizer)
    with pytest.raises(UnsupportedError, match="split text differently"):
        prove(folder, load_vocabulary(folder, {}))


@pytest.mark.parametrize("steps", [LLAMA3.steps, QWEN2.steps])
def test_a_split_that_keeps_its_matches_is_an_isolating_one(steps: Any) -> None:
    section = pre_tokenizer_section(steps)
    section["pretokenizers"][0] |= {"behavior": "Removed", "invert": True}
    assert recognise(section, ignore_merges=False).name in ("dbrx", "qwen2")


def test_unknown_structures_are_shown_with_what_is_known() -> None:
    section = pre_tokenizer_section((("split", "[aeiou]+"), ("bytes",)))
    with pytest.raises(UnsupportedError, match=r"split\(\"\[aeiou\]\+\"\), bytes") as caught:
        recognise(section, ignore_merges=False)
    assert "llama-bpe" in str(caught.value.hint)


def test_a_prefix_space_is_refused() -> None:
    section = {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}
    with pytest.raises(UnsupportedError, match="prefix space"):
        recognise(section, ignore_merges=False)


@pytest.mark.parametrize(
    "section",
    [
        7,
        [],
        {"type": 3},
        {"type": "Sequence", "pretokenizers": 1},
        {"type": "Split", "pattern": "x"},
        {"type": "ByteLevel", "use_regex": "yes"},
    ],
)
def test_malformed_sections_are_refused(section: Any) -> None:
    with pytest.raises(CheckpointError):
        recognise(section, ignore_merges=False)


def test_deep_nesting_is_refused() -> None:
    section: dict[str, Any] = {"type": "ByteLevel", "add_prefix_space": False}
    for _ in range(50):
        section = {"type": "Sequence", "pretokenizers": [copy.copy(section)]}
    with pytest.raises(CheckpointError):
        recognise(section, ignore_merges=False)
