"""Our tokenizer.* metadata against convert_hf_to_gguf.py, and our proof on the vocabularies that llama.cpp ships."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from oracle_tools import llama_source, run_convert

from edgellm.formats.gguf import GGUFHeader, read_header
from edgellm_converters.tokenizer import load_vocabulary, prove, write_vocab_gguf
from edgellm_converters.tokenizer.pretokenizer_table import KNOWN

pytestmark = pytest.mark.oracle

# tokenizer.json lost the scores: ours are minus the rank of the merge, theirs -1000 for every token (which splits
# words wrongly: see the last test).
SCORES = {"tokenizer.ggml.scores"}


def checkpoint(folder: Path, tokenizer: Path, vocab_size: int, **config: Any) -> dict[str, Any]:
    """A random Llama of one layer with the tokenizer files of ``tokenizer``; returns its config.json."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=vocab_size, num_key_value_heads=1, **shape, **config))
    model.save_pretrained(folder)
    for path in tokenizer.iterdir():
        if path.name != "config.json" and not path.name.endswith(".safetensors"):
            shutil.copy(path, folder / path.name)
    saved: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return saved


def tokenizer_keys(header: GGUFHeader) -> dict[str, tuple[str, object]]:
    return {key: (header.types[key], value) for key, value in header.metadata.items() if key.startswith("tokenizer.")}


def compare(folder: Path, config: dict[str, Any], out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Our tokenizer keys and theirs."""
    run_convert(folder, out / "theirs.gguf", "f32", "case")
    write_vocab_gguf(out / "ours.gguf", load_vocabulary(folder, config))
    return tokenizer_keys(read_header(out / "ours.gguf")), tokenizer_keys(read_header(out / "theirs.gguf"))


def test_byte_level(tiny_llm: Path, tmp_path: Path) -> None:
    config = checkpoint(tmp_path / "in", tiny_llm, 8200, bos_token_id=0, eos_token_id=[2, 0])
    ours, theirs = compare(tmp_path / "in", config, tmp_path)
    assert ours == theirs
    assert list(ours) == list(theirs)


def test_added_tokens_and_a_larger_embedding(shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "tokenizers" / "gpt-neox"
    config = checkpoint(tmp_path / "in", source, 50432, bos_token_id=0, eos_token_id=0)
    ours, theirs = compare(tmp_path / "in", config, tmp_path)
    # two names of one pre-tokenizer: the script knows the tokens of a model that came later
    assert (ours["tokenizer.ggml.pre"], theirs["tokenizer.ggml.pre"]) == (("str", "gpt-2"), ("str", "olmo"))
    assert ours == theirs | {"tokenizer.ggml.pre": ("str", "gpt-2")}
    assert list(ours) == list(theirs)


def test_sentencepiece(shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "tokenizers" / "mistral-v1"
    config = checkpoint(tmp_path / "in", source, 32010, bos_token_id=1, eos_token_id=2)
    (tmp_path / "in" / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "bos_token": "<s>",
                "eos_token": "</s>",
                "unk_token": "<unk>",
                "add_bos_token": True,
                "add_eos_token": False,
                "chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}],
                "added_tokens_decoder": {
                    "0": {"content": "<unk>", "special": True},
                    "1": {"content": "<s>", "special": True},
                    "2": {"content": "</s>", "special": True},
                    "32000": {"content": "<|user|>", "special": False},
                    "32001": {"content": "<think>", "special": False},
                },
            }
        )
    )
    ours, theirs = compare(tmp_path / "in", config, tmp_path)
    # without tokenizer.json the script does not find unk_token; we do, and write what llama.cpp assumes anyway
    assert ours.pop("tokenizer.ggml.unknown_token_id") == ("u32", 0)
    assert ours == theirs


def test_byte_fallback(shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "models" / "stories260k"
    config = checkpoint(tmp_path / "in", source, 512, bos_token_id=1, eos_token_id=2)
    ours, theirs = compare(tmp_path / "in", config, tmp_path)
    assert {key for key in ours | theirs if ours.get(key) != theirs.get(key)} == SCORES


SHIPPED = {
    "gpt-2": "gpt-2",
    "mpt": "gpt-2",
    "starcoder": "smollm",
    "refact": "smollm",
    "command-r": "smollm",
    "llama-bpe": "llama-bpe",
    "qwen2": "qwen2",
    "qwen35": "qwen35",
    "deepseek-llm": "deepseek-llm",
    "deepseek-coder": "deepseek-coder",
    "falcon": "falcon",
}


def section(name: str) -> dict[str, Any]:
    """The pre_tokenizer section that the released model has."""
    parts: list[dict[str, Any]] = []
    for step in next(known for known in KNOWN if known.name == name).steps:
        if step[0] == "split":
            parts.append({"type": "Split", "pattern": {"Regex": step[1]}, "behavior": "Isolated", "invert": False})
        elif step[0] == "digits":
            parts.append({"type": "Digits", "individual_digits": step[1] == "each"})
        elif step[0] == "punctuation":
            parts.append({"type": "Punctuation", "behavior": step[1]})
        else:
            parts.append({"type": "ByteLevel", "add_prefix_space": False, "use_regex": step[0] == "bytelevel"})
    return {"type": "Sequence", "pretokenizers": [part | {"trim_offsets": True} for part in parts]}


def released_tokenizer(vocabulary: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """tokenizer.json and tokenizer_config.json of the model whose vocabulary llama.cpp ships as a test file."""
    header = read_header(vocabulary).metadata
    tokens: Any = header["tokenizer.ggml.tokens"]
    types: Any = header["tokenizer.ggml.token_type"]
    merges: Any = header["tokenizer.ggml.merges"]
    eos: Any = header["tokenizer.ggml.eos_token_id"]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    known = next(known for known in KNOWN if known.name == name)
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {"id": number, "content": token, "special": types[number] == 3} | flags
            for number, token in enumerate(tokens)
            if types[number] in (3, 4)
        ],
        "pre_tokenizer": section(name),
        "model": {
            "type": "BPE",
            "ignore_merges": known.ignore_merges,
            "vocab": {token: number for number, token in enumerate(tokens) if types[number] in (1, 3, 4)},
            "merges": [merge.split(" ") for merge in merges],
        },
    }
    return tokenizer, {"eos_token": tokens[eos]}


@pytest.mark.parametrize("model", SHIPPED)
def test_released_vocabularies_are_proved(model: str, tmp_path: Path) -> None:
    path = llama_source() / "models" / f"ggml-vocab-{model}.gguf"
    if not path.exists():
        pytest.skip("the source tree of llama.cpp was kept without its models folder")
    tokenizer, config = released_tokenizer(path, SHIPPED[model])
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    vocabulary = load_vocabulary(tmp_path, {})
    assert vocabulary.pre == SHIPPED[model]
    assert prove(tmp_path, vocabulary).n_tokens > 5000


def test_the_scripts_own_scores_would_be_refused(shared_dir: Path) -> None:
    from dataclasses import replace

    from edgellm.errors import UnsupportedError

    folder = shared_dir / "models" / "stories260k"
    vocabulary = load_vocabulary(folder, {"vocab_size": 512})
    theirs = [
        (key, [-1000.0] * 512 if key.endswith("scores") else value, kind) for key, value, kind in vocabulary.metadata
    ]
    with pytest.raises(UnsupportedError, match="split text differently"):
        prove(folder, replace(vocabulary, metadata=theirs))
