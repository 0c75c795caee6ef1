"""Text to ids and back over tokenizer.json: the ids and pieces of llama.cpp for the same model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends import open_backend
from edgellm.errors import UnsupportedError
from edgellm_converters.tokenizer.corpus import CORPUS
from edgellm_runtimes.backend import BackendSettings, Vocabulary
from edgellm_runtimes.onnx.files import OnnxFiles
from edgellm_runtimes.onnx.pieces import piece_bytes
from edgellm_runtimes.onnx.vocabulary import TokenizersVocabulary


@pytest.fixture(scope="module")
def ours(tiny_onnx: Path) -> TokenizersVocabulary:
    return TokenizersVocabulary(OnnxFiles(tiny_onnx))


@pytest.fixture(scope="module")
def theirs(tiny_gguf: Path) -> Iterator[Vocabulary]:
    backend = open_backend(tiny_gguf, BackendSettings(context=64, batch=32, ubatch=32))
    yield backend.vocabulary
    backend.close()


@pytest.mark.parametrize("parse_special", [False, True])
def test_ids_are_those_of_llama_cpp(ours: Vocabulary, theirs: Vocabulary, parse_special: bool) -> None:
    for text in [*(text.text for text in CORPUS), "<|im_start|>user\nHi<|im_end|>", "", "<|im_", "<|endoftext|>" * 3]:
        for add_special in (False, True):
            wanted = theirs.tokenize(text, add_special=add_special, parse_special=parse_special)
            assert ours.tokenize(text, add_special=add_special, parse_special=parse_special) == wanted


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_the_ids_of_llama_cpp_and_comes_back(ours: Vocabulary, theirs: Vocabulary, text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text) or "\0" in text:
        return
    ids = ours.tokenize(text, add_special=False, parse_special=False)
    assert ids == theirs.tokenize(text, add_special=False, parse_special=False)
    assert b"".join(ours.piece(token) for token in ids).decode() == text


def test_pieces_and_ends_are_those_of_llama_cpp(ours: Vocabulary, theirs: Vocabulary) -> None:
    assert ours.n_tokens == theirs.n_tokens
    assert (ours.bos, ours.eos, ours.adds_bos) == (theirs.bos, theirs.eos, theirs.adds_bos)
    for token in range(ours.n_tokens):
        assert ours.piece(token) == theirs.piece(token)
        assert ours.piece(token, special=True) == theirs.piece(token, special=True)
        assert ours.is_end(token) == theirs.is_end(token)


def vocabulary_with(tiny_onnx: Path, folder: Path, tokenizer: dict[str, Any], **config: Any) -> TokenizersVocabulary:
    """tiny-llm with parts of its tokenizer files replaced."""
    copy = Path(shutil.copytree(tiny_onnx.parent, folder / "model"))
    for name, changes in (("tokenizer.json", tokenizer), ("tokenizer_config.json", config)):
        values = json.loads((copy / name).read_text())
        (copy / name).write_text(json.dumps(values | changes))
    return TokenizersVocabulary(OnnxFiles(copy / "model.onnx"))


def test_what_a_template_puts_around_a_text_is_put_there(tiny_onnx: Path, tmp_path: Path) -> None:
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}},
    }
    found = vocabulary_with(tiny_onnx, tmp_path, {"post_processor": template}, bos_token="<|im_start|>")
    assert (found.bos, found.adds_bos) == (1, True)
    assert found.tokenize("a", add_special=True, parse_special=False) == [1, 67]
    assert found.tokenize("a", add_special=False, parse_special=False) == [67]


def test_the_config_decides_where_the_tokenizer_says_nothing(tiny_onnx: Path, tmp_path: Path) -> None:
    found = vocabulary_with(tiny_onnx, tmp_path, {"post_processor": None}, add_bos_token=True)
    assert found.adds_bos
    assert found.tokenize("a", add_special=True, parse_special=False) == [0, 67]


def test_a_limit_on_texts_in_the_file_is_not_kept(tiny_onnx: Path, tmp_path: Path) -> None:
    limit = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    found = vocabulary_with(tiny_onnx, tmp_path, {"truncation": limit})
    assert len(found.tokenize("one two three four five six seven", add_special=True, parse_special=False)) > 4


def test_bytes_of_sentencepiece_tokens() -> None:
    data = json.dumps({"model": {"type": "BPE", "byte_fallback": True}, "decoder": {"type": "Metaspace"}}).encode()
    bytes_of = piece_bytes(data)
    assert [bytes_of(text) for text in ("\u2581the", "<0xE4>", "é", "<0xZZ>")] == [
        b" the",
        b"\xe4",
        "é".encode(),
        b"<0xZZ>",
    ]


def test_an_unknown_way_to_write_tokens_is_named() -> None:
    with pytest.raises(UnsupportedError, match="CTC"):
        piece_bytes(b'{"model": {"type": "BPE"}, "decoder": {"type": "CTC"}}')


def test_bytes_of_word_pieces() -> None:
    bytes_of = piece_bytes(b'{"model": {"type": "WordPiece"}, "decoder": {"type": "WordPiece"}}')
    assert [bytes_of(text) for text in ("the", "##ä", "#")] == [b" the", "ä".encode(), b" #"]
