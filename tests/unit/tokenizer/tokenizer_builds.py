"""Small real tokenizers: trained while the tests run, with the pre_tokenizer sections of released models."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from edgellm_converters.tokenizer.corpus import CORPUS
from edgellm_converters.tokenizer.pretokenizer_table import Step
from edgellm_converters.tokenizer.sentencepiece_model import parse_sentencepiece

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Digits of several scripts, often: so that each is one token, as in the large vocabularies of released models.
TEXTS = [text.text for text in CORPUS] * 3 + ["0123456789 ٠١٢٣٤٥٦٧٨٩ ०१२३४५६७८९ ০১২৩৪৫৬৭৮৯ ๐๑๒๓๔๕๖๗๘๙ ۰۱۲۳۴۵۶۷۸۹"] * 200

Write = Callable[..., Path]


def pre_tokenizer_section(steps: tuple[Step, ...]) -> dict[str, Any]:
    """The JSON that released models have for ``steps``."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    parts: list[dict[str, Any]] = []
    for step in steps:
        if step[0] == "split":
            parts.append({"type": "Split", "pattern": {"Regex": step[1]}, "behavior": "Isolated", "invert": False})
        elif step[0] in ("bytelevel", "bytes"):
            parts.append(byte_level | {"use_regex": step[0] == "bytelevel"})
        elif step[0] == "digits":
            parts.append({"type": "Digits", "individual_digits": step[1] == "each"})
        elif step[0] == "punctuation":
            parts.append({"type": "Punctuation", "behavior": step[1]})
    return parts[0] if len(parts) == 1 else {"type": "Sequence", "pretokenizers": parts}


def trained_byte_level(pre_tokenizer: dict[str, Any], vocab_size: int = 2500) -> dict[str, Any]:
    """tokenizer.json of a byte-level BPE model trained on the proof's own texts: every merge matters there."""
    raw = json.loads(Tokenizer(models.BPE()).to_str())
    raw["pre_tokenizer"] = pre_tokenizer
    tokenizer = Tokenizer.from_str(json.dumps(raw))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    trained: dict[str, Any] = json.loads(tokenizer.to_str())
    return trained


def metadata(vocabulary: Any) -> dict[str, Any]:
    """The metadata by key, without the usual prefix."""
    return {key.removeprefix("tokenizer.ggml."): value for key, value, _type in vocabulary.metadata}


def trained_sentencepiece(**options: Any) -> bytes:
    """tokenizer.model of a SentencePiece BPE model with byte fallback, as Llama's and Mistral's are."""
    import sentencepiece

    target = io.BytesIO()
    settings: dict[str, Any] = {
        "model_type": "bpe",
        "vocab_size": 2000,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "split_digits": True,
        "character_coverage": 0.99,
        "minloglevel": 3,
    }
    sentencepiece.SentencePieceTrainer.Train(sentence_iterator=iter(TEXTS), model_writer=target, **(settings | options))
    return target.getvalue()


def byte_fallback_json(model: bytes) -> dict[str, Any]:
    """tokenizer.json of a SentencePiece BPE model, made as transformers makes it: a merge for every way to join."""
    pieces = parse_sentencepiece(model, "model").pieces
    vocab = {piece.text: number for number, piece in enumerate(pieces)}
    merges = []
    for token in sorted((piece for piece in pieces if piece.type == 1), key=lambda piece: -piece.score):
        ways = ((token.text[:place], token.text[place:]) for place in range(1, len(token.text)))
        merges += sorted(
            (way for way in ways if way[0] in vocab and way[1] in vocab), key=lambda way: (vocab[way[0]], vocab[way[1]])
        )
    raw: dict[str, Any] = json.loads(Tokenizer(models.BPE()).to_str())
    raw["model"] |= {
        "vocab": vocab, "merges": merges, "byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"
    }  # fmt: skip
    raw["normalizer"] = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ],
    }
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    raw["added_tokens"] = [
        {"id": number, "content": content, "special": True} | flags
        for number, content in enumerate(("<unk>", "<s>", "</s>"))
    ]
    return raw
