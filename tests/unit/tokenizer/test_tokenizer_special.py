from __future__ import annotations

import copy
from typing import Any

import pytest
from tokenizer_builds import SPECIAL, Write, metadata

from edgellm.errors import CheckpointError
from edgellm_converters.tokenizer import load_vocabulary, prove

TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}},
}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
CONFIG = {"bos_token": "<|endoftext|>", "eos_token": {"content": "<|im_end|>", "special": True}}


def with_post_processor(trained: dict[str, Any], section: Any) -> dict[str, Any]:
    tokenizer = copy.deepcopy(trained)
    tokenizer["post_processor"] = section
    return tokenizer


def test_a_template_that_puts_bos_first(trained: dict[str, Any], write: Write) -> None:
    section = {"type": "Sequence", "processors": [BYTE_LEVEL, TEMPLATE]}
    folder = write(with_post_processor(trained, section), CONFIG)
    vocabulary = load_vocabulary(folder, {})
    assert (vocabulary.add_bos, vocabulary.add_eos) == (True, False)
    assert (vocabulary.bos_token_id, vocabulary.eos_token_id) == (0, 2)
    prove(folder, vocabulary)


def test_a_template_that_ends_with_another_token_makes_it_eos(trained: dict[str, Any], write: Write) -> None:
    section = copy.deepcopy(TEMPLATE)
    section["single"] = list(reversed(section["single"]))
    folder = write(with_post_processor(trained, section), CONFIG)
    vocabulary = load_vocabulary(folder, {})
    assert vocabulary.add_eos
    assert (metadata(vocabulary)["eos_token_id"], metadata(vocabulary)["eot_token_id"]) == (0, 2)
    prove(folder, vocabulary)


def test_byte_level_post_processing_adds_nothing(trained: dict[str, Any], write: Write) -> None:
    config = CONFIG | {"add_bos_token": True}
    vocabulary = load_vocabulary(write(with_post_processor(trained, BYTE_LEVEL), config), {})
    assert not vocabulary.add_bos


def test_every_end_of_a_reply_is_kept(trained: dict[str, Any], write: Write) -> None:
    folder = write(trained, CONFIG, generation_config__json={"eos_token_id": [2, 0, 1]})
    vocabulary = load_vocabulary(folder, {"eos_token_id": [0, 2]})
    assert vocabulary.eos_token_ids == (2, 0, 1)
    keys = metadata(vocabulary)
    # llama.cpp stops at <|endoftext|> (0) by its text; <|im_start|> (1) it has to be told
    assert (keys["eos_token_id"], keys["eot_token_id"]) == (2, 1)
    assert "eom_token_id" not in keys
    prove(folder, vocabulary)


def test_ends_without_a_place_in_gguf_are_noted(trained: dict[str, Any], write: Write) -> None:
    vocabulary = load_vocabulary(write(trained, CONFIG), {"eos_token_id": [2, 300, 301, 302]})
    assert vocabulary.eos_token_ids == (2, 300, 301, 302)
    assert "(302)" in vocabulary.notes[0]


def test_ids_come_from_config_when_no_text_is_given(trained: dict[str, Any], write: Write) -> None:
    vocabulary = load_vocabulary(write(trained, {"x": 1}), {"bos_token_id": 0, "eos_token_id": [1, 2]})
    assert (vocabulary.bos_token_id, vocabulary.eos_token_id, vocabulary.eos_token_ids) == (0, 1, (1, 2))


def test_a_model_without_any_end_is_refused(trained: dict[str, Any], write: Write) -> None:
    with pytest.raises(CheckpointError, match="no token ends a reply"):
        load_vocabulary(write(trained, {"x": 1}), {})


def test_a_bos_that_no_file_names_is_refused(trained: dict[str, Any], write: Write) -> None:
    with pytest.raises(CheckpointError, match="bos"):
        load_vocabulary(write(trained, {"eos_token": SPECIAL[2], "add_bos_token": True}), {})


@pytest.mark.parametrize("bad", ["2", -1, True, [2, None], {"id": 2}])
def test_malformed_ends_are_refused(bad: Any, trained: dict[str, Any], write: Write) -> None:
    with pytest.raises(CheckpointError, match=r"eos_token_id in config\.json"):
        load_vocabulary(write(trained), {"eos_token_id": bad})


def test_named_chat_templates(trained: dict[str, Any], write: Write) -> None:
    templates = [{"name": "default", "template": "D"}, {"name": "tool use", "template": "T"}]
    keys = metadata(load_vocabulary(write(trained, CONFIG | {"chat_template": templates}), {}))
    assert keys["tokenizer.chat_template"] == "D"
    assert keys["tokenizer.chat_templates"] == ["tool_use"]
    assert keys["tokenizer.chat_template.tool_use"] == "T"


def test_a_template_in_its_own_file(trained: dict[str, Any], write: Write) -> None:
    assert load_vocabulary(write(trained, chat_template__jinja="{{ é }}"), {}).chat_template == "{{ é }}"


def test_a_template_in_a_json_file(trained: dict[str, Any], write: Write) -> None:
    assert load_vocabulary(write(trained, chat_template__json={"chat_template": "J"}), {}).chat_template == "J"


@pytest.mark.parametrize("bad", [7, {"a": "b"}, [1], [{"name": "x"}], [{"template": "x"}], "\ud800", "a\0b"])
def test_a_template_that_is_no_text_is_refused(bad: Any, trained: dict[str, Any], write: Write) -> None:
    with pytest.raises(CheckpointError, match="chat_template"):
        load_vocabulary(write(trained, CONFIG | {"chat_template": bad}), {})
