from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizer_builds import byte_fallback_json, metadata, trained_sentencepiece

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm_converters.tokenizer import TokenType, load_vocabulary, prove
from edgellm_converters.tokenizer.sentencepiece_model import parse_sentencepiece

CONFIG = {"bos_token_id": 1, "eos_token_id": 2}


@pytest.fixture(scope="module")
def model() -> bytes:
    return trained_sentencepiece()


def saved(folder: Path, model: bytes, **others: Any) -> Path:
    (folder / "tokenizer.model").write_bytes(model)
    for name, content in others.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_a_sentencepiece_model(model: bytes, tmp_path: Path) -> None:
    folder = saved(tmp_path, model)
    vocabulary = load_vocabulary(folder, {"vocab_size": 2003})
    keys = metadata(vocabulary)
    assert (keys["model"], keys["pre"]) == ("llama", "default")
    assert (keys["bos_token_id"], keys["eos_token_id"], keys["unknown_token_id"]) == (1, 2, 0)
    assert vocabulary.table.types[:4] == [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, TokenType.BYTE]
    assert vocabulary.table.tokens[2000:] == ["[PAD2000]", "[PAD2001]", "[PAD2002]"]
    assert vocabulary.table.scores is not None
    assert vocabulary.table.scores[2000:] == [-10000.0] * 3
    assert vocabulary.add_bos
    assert prove(folder, vocabulary).reference.startswith("sentencepiece")


def test_the_reader_agrees_with_the_library(model: bytes, tmp_path: Path) -> None:
    import sentencepiece

    theirs = sentencepiece.SentencePieceProcessor(model_proto=model)
    ours = parse_sentencepiece(model, "model")
    assert [piece.text for piece in ours.pieces] == [theirs.IdToPiece(number) for number in range(len(ours.pieces))]
    assert [piece.score for piece in ours.pieces] == [theirs.GetScore(number) for number in range(len(ours.pieces))]
    assert (ours.unk_id, ours.bos_id, ours.eos_id) == (theirs.unk_id(), theirs.bos_id(), theirs.eos_id())


def test_no_space_before_text_when_the_model_adds_none(tmp_path: Path) -> None:
    folder = saved(tmp_path, trained_sentencepiece(add_dummy_prefix=False))
    vocabulary = load_vocabulary(folder, CONFIG)
    assert metadata(vocabulary)["add_space_prefix"] is False
    prove(folder, vocabulary)


def test_added_tokens_of_the_side_files(model: bytes, tmp_path: Path) -> None:
    decoder = {"2000": {"content": "<|user|>", "special": False}, "2001": {"content": "<think>", "special": False}}
    config = {"added_tokens_decoder": decoder, "eos_token": "<|user|>", "add_bos_token": False}
    folder = saved(tmp_path, model, tokenizer_config=config, added_tokens={"<think>": 2001, "<more>": 2002})
    vocabulary = load_vocabulary(folder, {"vocab_size": 2003})
    kinds = dict(zip(vocabulary.table.tokens, vocabulary.table.types, strict=True))
    assert kinds["<|user|>"] == TokenType.CONTROL
    assert kinds["<think>"] == kinds["<more>"] == TokenType.USER_DEFINED
    assert vocabulary.eos_token_id == 2000
    assert not vocabulary.add_bos
    prove(folder, vocabulary)


def test_scores_of_a_byte_fallback_tokenizer_json_come_from_its_merges(model: bytes, tmp_path: Path) -> None:
    folder = tmp_path
    tokenizer = byte_fallback_json(model)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    vocabulary = load_vocabulary(folder, CONFIG)
    assert vocabulary.kind == "llama"
    first, second = ("".join(pair) for pair in tokenizer["model"]["merges"][:2])
    score = dict(zip(vocabulary.table.tokens, vocabulary.table.scores or [], strict=True))
    assert score[first] > score[second]
    assert metadata(vocabulary)["add_bos_token"] is False  # no post_processor: nothing is added, whatever the default
    assert prove(folder, vocabulary).reference.startswith("tokenizers")


def test_both_files_give_the_scores_of_one_and_the_reference_of_the_other(model: bytes, tmp_path: Path) -> None:
    folder = saved(tmp_path, model, tokenizer=byte_fallback_json(model))
    vocabulary = load_vocabulary(folder, CONFIG)
    assert vocabulary.table.scores == load_vocabulary(saved(tmp_path, model), CONFIG).table.scores
    assert prove(folder, vocabulary).reference.startswith("tokenizers")


def test_a_space_at_the_start_only_is_left_to_the_caller(model: bytes, tmp_path: Path) -> None:
    tokenizer = byte_fallback_json(model)
    tokenizer["normalizer"] = None
    tokenizer["pre_tokenizer"] = {
        "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False
    }  # fmt: skip
    folder = saved(tmp_path, model, tokenizer=tokenizer)
    vocabulary = load_vocabulary(folder, CONFIG)
    assert vocabulary.space_prefix == "start only"
    assert metadata(vocabulary)["add_space_prefix"] is False
    assert "start of a text only" in prove(folder, vocabulary).limitations[0]


@pytest.mark.parametrize(
    "text", ["Hello world", " Hello", "\u2581Hello", "<s>Hello</s> world", "</s>", "", "\n", "日本"]
)
def test_the_runtime_puts_the_space_at_the_start(text: str, model: bytes, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    from edgellm_converters.tokenizer import write_vocab_gguf
    from edgellm_converters.tokenizer.llama_vocab import LlamaVocab
    from edgellm_runtimes.llama_cpp.vocabulary import LlamaVocabulary

    tokenizer = byte_fallback_json(model)
    tokenizer["normalizer"] = None
    tokenizer["pre_tokenizer"] = {
        "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False
    }  # fmt: skip
    folder = saved(tmp_path, model, tokenizer=tokenizer)
    write_vocab_gguf(tmp_path / "v.gguf", load_vocabulary(folder, CONFIG))
    expected = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    with LlamaVocab(tmp_path / "v.gguf") as vocab:
        ours = LlamaVocabulary(vocab._library, vocab._vocab, space_prefix=True)
        assert ours.tokenize(text, add_special=False, parse_special=True) == expected


def test_a_byte_level_tokenizer_json_wins_over_a_model_file_that_is_something_else(
    trained: dict[str, Any], tmp_path: Path
) -> None:
    folder = saved(tmp_path, b"IQ== 0\nIg== 1\n", tokenizer=trained)
    assert load_vocabulary(folder, CONFIG).kind == "gpt2"


@pytest.mark.parametrize("kind", ["unigram", "char", "word"])
def test_other_sentencepiece_models_are_refused(kind: str, tmp_path: Path) -> None:
    options = {"vocab_size": 1300} if kind == "unigram" else {"vocab_size": 300, "hard_vocab_limit": False}
    model = trained_sentencepiece(model_type=kind, byte_fallback=kind == "unigram", **options)
    with pytest.raises(UnsupportedError, match="SentencePiece BPE"):
        load_vocabulary(saved(tmp_path, model), CONFIG)


def test_a_model_without_byte_fallback_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="byte fallback"):
        load_vocabulary(saved(tmp_path, trained_sentencepiece(byte_fallback=False)), CONFIG)


def test_a_model_with_its_own_character_map_is_refused(tmp_path: Path) -> None:
    model = trained_sentencepiece(normalization_rule_name="nmt_nfkc_cf")
    with pytest.raises(UnsupportedError, match="character map"):
        load_vocabulary(saved(tmp_path, model), CONFIG)


def test_a_model_larger_than_the_embedding_is_refused(model: bytes, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="2000 tokens, the model only 1000"):
        load_vocabulary(saved(tmp_path, model), CONFIG | {"vocab_size": 1000})


@given(st.binary(max_size=200))
def test_garbage_is_no_model(data: bytes) -> None:
    with pytest.raises(CheckpointError):
        parse_sentencepiece(data, "tokenizer.model")


@given(st.data())
def test_a_damaged_model_is_read_or_refused(model: bytes, data: st.DataObject) -> None:
    damaged = bytearray(model)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    try:
        parse_sentencepiece(bytes(damaged), "tokenizer.model")
    except CheckpointError:
        return


def test_a_length_beyond_the_file_is_refused() -> None:
    with pytest.raises(CheckpointError, match="longer than the file"):
        parse_sentencepiece(b"\x0a" + b"\xff" * 8 + b"\x01", "tokenizer.model")


def test_a_score_that_is_no_number_is_refused() -> None:
    piece = b"\x0a\x01a\x15" + struct.pack("<f", float("nan"))
    with pytest.raises(CheckpointError, match="score"):
        parse_sentencepiece(b"\x0a" + bytes([len(piece)]) + piece, "tokenizer.model")
