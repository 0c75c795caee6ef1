from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizer_builds import Write, metadata

from edgellm_converters.tokenizer import TokenType, load_vocabulary, prove


def test_the_demo_checkpoint(tiny_llm: Path) -> None:
    vocabulary = load_vocabulary(tiny_llm, json.loads((tiny_llm / "config.json").read_text()))
    keys = metadata(vocabulary)
    assert (keys["model"], keys["pre"]) == ("gpt2", "gpt-2")
    assert (len(keys["tokens"]), len(keys["token_type"]), len(keys["merges"])) == (8192, 8192, 7933)
    assert (keys["bos_token_id"], keys["eos_token_id"], keys["padding_token_id"]) == (0, 2, 0)
    assert (keys["add_bos_token"], keys["add_eos_token"]) == (False, False)
    assert vocabulary.eos_token_ids == (2, 0)
    assert vocabulary.chat_template is not None
    assert keys["tokenizer.chat_template"] == vocabulary.chat_template
    assert vocabulary.notes == ()
    assert [path.name for path in vocabulary.sources] == [
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
    ]


def test_the_list_is_padded_to_the_models_size(trained: dict[str, Any], write: Write) -> None:
    folder = write(trained)
    vocabulary = load_vocabulary(folder, {"vocab_size": 1010})
    assert vocabulary.table.tokens[1000:] == [f"[PAD{number}]" for number in range(1000, 1010)]
    assert vocabulary.table.types[1000:] == [TokenType.UNUSED] * 10
    prove(folder, vocabulary)


def test_holes_in_the_ids_are_padded(trained: dict[str, Any], write: Write) -> None:
    tokenizer = copy.deepcopy(trained)
    tokenizer["model"]["vocab"]["zzzz"] = 1005
    vocabulary = load_vocabulary(write(tokenizer), {})
    assert vocabulary.n_tokens == 1006
    assert vocabulary.table.tokens[1000:] == ["[PAD1000]", "[PAD1001]", "[PAD1002]", "[PAD1003]", "[PAD1004]", "zzzz"]


def test_padding_avoids_a_token_of_that_name(trained: dict[str, Any], write: Write) -> None:
    tokenizer = copy.deepcopy(trained)
    tokenizer["model"]["vocab"]["[PAD1001]"] = 1000
    vocabulary = load_vocabulary(write(tokenizer), {"vocab_size": 1003})
    assert len(set(vocabulary.table.tokens)) == 1003


@pytest.mark.parametrize(
    ("content", "special", "kind"),
    [
        ("<tool>", True, TokenType.CONTROL),
        ("<tool>", False, TokenType.USER_DEFINED),
        ("<|tool|>", False, TokenType.CONTROL),
        ("<｜tool｜>", False, TokenType.CONTROL),
        ("<unused7>", False, TokenType.CONTROL),
    ],
)
def test_added_tokens(content: str, special: bool, kind: TokenType, trained: dict[str, Any], write: Write) -> None:
    tokenizer = copy.deepcopy(trained)
    tokenizer["added_tokens"].append(
        {"id": 1000, "content": content, "special": special, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
    )
    folder = write(tokenizer)
    vocabulary = load_vocabulary(folder, {})
    assert vocabulary.table.tokens[1000] == content
    assert vocabulary.table.types[1000] == kind
    prove(folder, vocabulary)


def test_runs_of_spaces_as_added_tokens(trained: dict[str, Any], write: Write) -> None:
    tokenizer = copy.deepcopy(trained)
    for place, length in enumerate((12, 5, 3, 2)):
        tokenizer["added_tokens"].append(
            {"id": 1000 + place, "content": " " * length, "special": False, "normalized": True}
            | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        )
    folder = write(tokenizer)
    prove(folder, load_vocabulary(folder, {}))


def test_an_added_token_beyond_the_model_is_left_out_with_a_note(trained: dict[str, Any], write: Write) -> None:
    tokenizer = copy.deepcopy(trained)
    tokenizer["added_tokens"].append(
        {"id": 1000, "content": "<extra>", "special": True, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
    )
    folder = write(tokenizer)
    vocabulary = load_vocabulary(folder, {"vocab_size": 1000})
    assert "'<extra>' (1000) is left out" in vocabulary.notes[0]
    prove(folder, vocabulary)


def test_merges_as_strings_and_as_pairs_are_one(trained: dict[str, Any], write: Write) -> None:
    old = copy.deepcopy(trained)
    old["model"]["merges"] = [" ".join(pair) for pair in old["model"]["merges"]]
    with_strings = load_vocabulary(write(old), {})
    with_pairs = load_vocabulary(write(trained), {})
    assert with_strings.metadata == with_pairs.metadata


def test_tokens_that_strip_spaces_are_a_limitation(trained: dict[str, Any], write: Write) -> None:
    tokenizer = copy.deepcopy(trained)
    tokenizer["added_tokens"].append(
        {"id": 1000, "content": "<mask>", "special": True, "normalized": False}
        | {"single_word": False, "lstrip": True, "rstrip": False}
    )
    folder = write(tokenizer)
    assert "'<mask>'" in prove(folder, load_vocabulary(folder, {})).limitations[0]
