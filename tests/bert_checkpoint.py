"""A small BERT with random weights in a folder as sentence-transformers writes it, and what it computes, in numpy."""

from __future__ import annotations

import json
import math
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checkpoint_maker import make

__all__ = ["BERT_CONFIG", "BERT_TOKENS", "hidden_states", "make_bert", "text_vector", "tokenizer_json"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("the", "cat", "sat", "on", "mat", "dog", "ran", "a", "play", "un", "able", "world", "hello", "text", "Text")
BERT_TOKENS = [
    *SPECIAL,
    *string.punctuation,
    *string.digits,
    *string.ascii_letters,
    *"äöüßéñçışжщ文字あ",
    *(f"##{letter}" for letter in string.ascii_letters + string.digits + "äöüßéжщ"),
    *("##ing", "##able", "##s", "##ed", "##er"),
    *(word for word in WORDS if len(word) > 1),
]
BERT_CONFIG: dict[str, Any] = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 64,
    "intermediate_size": 128,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 96,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "type_vocab_size": 2,
    "vocab_size": len(BERT_TOKENS),
}
_LAYER = {
    "attention.self.query": "d",
    "attention.self.key": "d",
    "attention.self.value": "d",
    "attention.output.dense": "d",
    "attention.output.LayerNorm": "norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}


def tokenizer_json(*, lowercase: bool = True, strip_accents: bool | None = None) -> dict[str, Any]:
    """As transformers saves BertTokenizer."""
    around = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    end = {"SpecialToken": {"id": "[SEP]", "type_id": 0}}
    second = [{"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    ids = {text: BERT_TOKENS.index(text) for text in SPECIAL}
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": [{"id": number, "content": text, **flags} for text, number in ids.items()],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": strip_accents,
            "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [*around, end],
            "pair": [*around, end, *second],
            "special_tokens": {text: {"id": text, "ids": [ids[text]], "tokens": [text]} for text in ("[CLS]", "[SEP]")},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {text: number for number, text in enumerate(BERT_TOKENS)},
        },
    }


def bert_tensors(config: dict[str, Any], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Random weights under the names of transformers; all of them matter."""
    rng = np.random.default_rng(seed)
    width, ff = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], width),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
        "pooler.dense.weight": (width, width),
        "pooler.dense.bias": (width,),
    }
    matrices = {"d": (width, width), "up": (ff, width), "down": (width, ff), "norm": (width,)}
    for layer in range(config["num_hidden_layers"]):
        for module, kind in _LAYER.items():
            name = f"encoder.layer.{layer}.{module}"
            shapes[f"{name}.weight"] = matrices[kind]
            shapes[f"{name}.bias"] = matrices[kind][:1]
    tensors = {}
    for name, shape in shapes.items():
        values = rng.standard_normal(shape, np.float32)
        if name.endswith("LayerNorm.weight"):
            values = 1 + 0.3 * values
        elif len(shape) == 1:
            values = 0.3 * values
        elif name.startswith("encoder."):
            values = values * np.float32(1.5 / math.sqrt(shape[-1]))
        tensors[name] = values.astype(np.float32)
    return tensors


def make_bert(
    folder: Path,
    *,
    pooling: str | None = "mean",
    normalise: bool = True,
    max_tokens: int | None = 48,
    config: dict[str, Any] | None = None,
    tokenizer: dict[str, Any] | None = None,
    seed: int = 0,
    tensors: dict[str, NDArray[np.float32]] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Write the folder; returns its weights. Without ``pooling`` it is a bare BertModel."""
    config = BERT_CONFIG | (config or {})
    tensors = make(folder, config, tensors=bert_tensors(config, seed) if tensors is None else tensors)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer or tokenizer_json()))
    texts = {f"{kind}_token": f"[{kind.upper()}]" for kind in ("cls", "sep", "pad", "unk", "mask")}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **texts}))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A tiny encoder\n")
    if pooling is None:
        return tensors
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalise else [])]
    modules = [
        {
            "idx": place,
            "name": str(place),
            "path": "" if not place else f"{place}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for place, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    flags = {"mean": "mean_tokens", "cls": "cls_token", "last": "lasttoken"}
    modes = {f"pooling_mode_{flag}": name == pooling for name, flag in flags.items()}
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": config["hidden_size"], **modes})
    )
    if max_tokens is not None:
        (folder / "sentence_bert_config.json").write_text(
            json.dumps({"max_seq_length": max_tokens, "do_lower_case": False})
        )
    return tensors


def hidden_states(
    tensors: dict[str, NDArray[np.float32]], ids: Sequence[int], config: dict[str, Any] = BERT_CONFIG
) -> NDArray[np.float64]:
    """What BertModel gives for one text, float64 [tokens, hidden]."""
    weights = {name: values.astype(np.float64) for name, values in tensors.items()}
    heads, eps = config["num_attention_heads"], config["layer_norm_eps"]

    def norm(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centred = values - values.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def dense(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        return found

    states = weights["embeddings.word_embeddings.weight"][list(ids)]
    states = states + weights["embeddings.position_embeddings.weight"][: len(ids)]
    states = norm(states + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        prefix = f"encoder.layer.{layer}."
        q, k, v = (
            dense(states, f"{prefix}attention.self.{part}").reshape(len(ids), heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        attended = (scores / scores.sum(axis=-1, keepdims=True)) @ v
        attended = dense(attended.swapaxes(0, 1).reshape(len(ids), -1), f"{prefix}attention.output.dense")
        states = norm(states + attended, f"{prefix}attention.output.LayerNorm")
        up = dense(states, f"{prefix}intermediate.dense")
        active = up * (1 + np.vectorize(math.erf)(up / math.sqrt(2))) / 2
        states = norm(states + dense(active, f"{prefix}output.dense"), f"{prefix}output.LayerNorm")
    return states


def text_vector(states: NDArray[np.float64], pooling: str, *, normalise: bool = True) -> NDArray[np.float64]:
    """The vector of a text of these hidden states."""
    vector: NDArray[np.float64] = {"mean": states.mean(axis=0), "cls": states[0], "last": states[-1]}[pooling]
    return vector / np.linalg.norm(vector) if normalise else vector
