from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizer_builds import Write

from edgellm.errors import CheckpointError, EdgeLLMError, UnsupportedError
from edgellm_converters.tokenizer import load_vocabulary


def added(**changes: Any) -> dict[str, Any]:
    return {"id": 1000, "content": "<x>", "special": True, "normalized": False} | changes


def changed(trained: dict[str, Any], **model: Any) -> dict[str, Any]:
    tokenizer = copy.deepcopy(trained)
    tokenizer["model"] |= model
    return tokenizer


def test_a_folder_without_tokenizer_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"neither tokenizer\.json nor tokenizer\.model"):
        load_vocabulary(tmp_path, {})


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no tokenizer"):
        load_vocabulary(tmp_path / "gone", {})


@pytest.mark.parametrize("name", ["vocab.json", "tekken.json", "vocab.txt"])
def test_other_vocabulary_files_are_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(UnsupportedError, match=name):
        load_vocabulary(tmp_path, {})


@pytest.mark.parametrize("text", ["", "{", '{"model": {"type": "BPE", "vocab": {"a"', "[1]", "7", "[" * 100_000])
def test_torn_json(text: str, write: Write) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        load_vocabulary(write(text), {})


@pytest.mark.parametrize("name", ["tokenizer_config__json", "generation_config__json", "added_tokens__json"])
def test_torn_side_files(name: str, trained: dict[str, Any], write: Write) -> None:
    with pytest.raises(CheckpointError, match="JSON"):
        load_vocabulary(write(trained, **{name: '{"x": '}), {})


@pytest.mark.parametrize("kind", ["Unigram", "WordPiece", "WordLevel", None, 7])
def test_other_models_are_refused_with_what_is_supported(kind: Any, write: Write) -> None:
    with pytest.raises(UnsupportedError, match="SentencePiece BPE"):
        load_vocabulary(write({"model": {"type": kind, "vocab": []}}), {})


@pytest.mark.parametrize(
    "model",
    [
        {"vocab": {}},
        {"vocab": []},
        {"vocab": {"a": "0"}},
        {"vocab": {"a": -1}},
        {"vocab": {"a": 0, "b": True}},
        {"vocab": {"a": 1.5}},
        {"vocab": {"a": 10**12}},
        {"vocab": {"a": 0, "b": 0}},
        {"vocab": {"\ud800": 0}},
        {"merges": [["a"]]},
        {"merges": [["a", "b", "c"]]},
        {"merges": ["ab"]},
        {"merges": [7]},
        {"merges": {"a": "b"}},
        {"merges": [["a", "\u4e00"]]},
        {"byte_fallback": "yes"},
        {"ignore_merges": 1},
        {"unk_token": 3},
    ],
)
def test_lies_in_the_model_section(model: dict[str, Any], trained: dict[str, Any], write: Write) -> None:
    with pytest.raises(CheckpointError):
        load_vocabulary(write(changed(trained, **model)), {})


@pytest.mark.parametrize("name", ["continuing_subword_prefix", "end_of_word_suffix"])
def test_affixes_are_refused(name: str, trained: dict[str, Any], write: Write) -> None:
    with pytest.raises(UnsupportedError, match=name):
        load_vocabulary(write(changed(trained, **{name: "##"})), {})


def test_dropout_is_refused(trained: dict[str, Any], write: Write) -> None:
    with pytest.raises(UnsupportedError, match="dropout"):
        load_vocabulary(write(changed(trained, dropout=0.1)), {})


def test_a_vocabulary_without_merges_is_refused(trained: dict[str, Any], write: Write) -> None:
    with pytest.raises(UnsupportedError, match="no merges"):
        load_vocabulary(write(changed(trained, merges=[])), {})


def test_a_vocabulary_that_is_neither_byte_level_nor_has_fallback(trained: dict[str, Any], write: Write) -> None:
    tokenizer = copy.deepcopy(trained) | {"pre_tokenizer": {"type": "Whitespace"}}
    with pytest.raises(UnsupportedError, match="neither byte-level nor"):
        load_vocabulary(write(tokenizer), {})


def test_byte_fallback_without_byte_tokens_is_refused(trained: dict[str, Any], write: Write) -> None:
    tokenizer = changed(trained, byte_fallback=True) | {"pre_tokenizer": None}
    with pytest.raises(UnsupportedError, match="256 of the 256 byte tokens"):
        load_vocabulary(write(tokenizer), {})


@pytest.mark.parametrize(
    "entry",
    [
        7,
        {},
        added(content=5),
        added(content=""),
        added(id=None),
        added(id="5"),
        added(id=10**15),
        added(id=5),
        added(content="a", id=1000),
        added(special="no"),
        added(content="\udfff"),
    ],
)
def test_lies_in_the_added_tokens(entry: Any, trained: dict[str, Any], write: Write) -> None:
    tokenizer = copy.deepcopy(trained)
    tokenizer["added_tokens"].append(entry)
    with pytest.raises(CheckpointError):
        load_vocabulary(write(tokenizer), {})


def test_two_tokens_of_one_text_are_refused(trained: dict[str, Any], write: Write) -> None:
    # llama.cpp sees a user-defined token with a space for the mark; it would abort over the second one
    tokenizer = copy.deepcopy(trained)
    tokenizer["added_tokens"] += [
        added(content="\u2581x", special=False) | dict.fromkeys(("single_word", "lstrip", "rstrip"), False),
        added(content=" x", id=1001, special=False) | dict.fromkeys(("single_word", "lstrip", "rstrip"), False),
    ]
    with pytest.raises(CheckpointError, match="both read"):
        load_vocabulary(write(tokenizer), {})


def test_a_token_with_a_nul_is_refused(trained: dict[str, Any], write: Write) -> None:
    tokenizer = copy.deepcopy(trained)
    tokenizer["added_tokens"].append(added(content="a\0b"))
    with pytest.raises(UnsupportedError, match="NUL"):
        load_vocabulary(write(tokenizer), {})


@pytest.mark.parametrize("size", ["8192", 0, -5, 10**12, 1.5, True])
def test_implausible_vocabulary_sizes(size: Any, trained: dict[str, Any], write: Write) -> None:
    with pytest.raises(CheckpointError, match="vocab_size"):
        load_vocabulary(write(trained), {"vocab_size": size})


def test_a_tokenizer_larger_than_the_model(trained: dict[str, Any], write: Write) -> None:
    with pytest.raises(CheckpointError, match="the model only 900"):
        load_vocabulary(write(trained), {"vocab_size": 900})


@pytest.mark.parametrize(
    "section", [7, {"type": "Lowercase"}, {"type": "Sequence", "normalizers": [3]}, {"type": None}]
)
def test_other_normalizers_are_refused(section: Any, trained: dict[str, Any], write: Write) -> None:
    with pytest.raises((CheckpointError, UnsupportedError), match="normaliz"):
        load_vocabulary(write(copy.deepcopy(trained) | {"normalizer": section}), {})


@pytest.mark.parametrize(
    "section", [7, [], {"type": "Sequence", "processors": 3}, {"type": "Sequence", "processors": [3]}]
)
def test_malformed_post_processors(section: Any, trained: dict[str, Any], write: Write) -> None:
    with pytest.raises(CheckpointError, match="post_processor"):
        load_vocabulary(write(copy.deepcopy(trained) | {"post_processor": section}), {})


def test_a_file_of_absurd_size_is_not_read(trained: dict[str, Any], write: Write) -> None:
    folder = write(trained)
    with (folder / "tokenizer.json").open("r+b") as file:
        file.truncate(300 << 20)  # sparse
    with pytest.raises(CheckpointError, match="300 MiB"):
        load_vocabulary(folder, {})


def test_a_folder_in_place_of_a_file(trained: dict[str, Any], write: Write) -> None:
    folder = write(trained)
    (folder / "additional_chat_templates" / "x.jinja").mkdir(parents=True)
    (folder / "chat_template.jinja").write_text("x")
    with pytest.raises(EdgeLLMError):
        load_vocabulary(folder, {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**40) | st.text(max_size=4) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    section=st.sampled_from(
        ["model", "vocab", "merges", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "config"]
    ),
    value=JSON,
)
def test_any_json_in_any_section_is_read_or_refused(
    section: str, value: Any, trained: dict[str, Any], write: Write
) -> None:
    tokenizer = json.loads(json.dumps(trained))
    config: Any = {"eos_token": "<|im_end|>"}
    if section in ("vocab", "merges"):
        tokenizer["model"][section] = value
    elif section == "config":
        names = ("chat_template", "eos_token", "bos_token", "added_tokens_decoder", "add_bos_token")
        config = dict.fromkeys(names, value)
    else:
        tokenizer[section] = value
    try:
        load_vocabulary(write(tokenizer, config), {})
    except EdgeLLMError:
        return
