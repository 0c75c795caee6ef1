from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizer_builds import Write, pre_tokenizer_section, trained_byte_level

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm_converters.tokenizer import load_vocabulary, prove, write_vocab_gguf
from edgellm_converters.tokenizer.corpus import CORPUS, Text
from edgellm_converters.tokenizer.difference import describe_difference


def test_the_demo_checkpoint_is_proved(tiny_llm: Path) -> None:
    result = prove(tiny_llm, load_vocabulary(tiny_llm, {"vocab_size": 8192}))
    assert result.n_texts > 2000
    assert result.n_tokens > 5000
    assert result.limitations == ()


def test_the_finished_file_can_be_proved(tiny_llm: Path, tmp_path: Path) -> None:
    vocabulary = load_vocabulary(tiny_llm, {"vocab_size": 8192})
    write_vocab_gguf(tmp_path / "model.gguf", vocabulary)
    prove(tiny_llm, vocabulary, tmp_path / "model.gguf")


@pytest.mark.parametrize("name", ["gpt-neox", "mistral-v1"])
def test_released_tokenizers_are_proved(name: str, shared_dir: Path) -> None:
    folder = shared_dir / "tokenizers" / name
    result = prove(folder, load_vocabulary(folder, {}))
    if name == "gpt-neox":
        assert "NFC" in result.limitations[0]
    else:
        assert result.limitations == ()


def test_a_trained_llama_style_tokenizer_is_proved(shared_dir: Path) -> None:
    folder = shared_dir / "models" / "stories260k"
    prove(folder, load_vocabulary(folder, json.loads((folder / "config.json").read_text())))


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC"])
def test_unicode_normalization_is_left_to_the_caller_and_said(form: str, trained: dict[str, Any], write: Write) -> None:
    tokenizer = copy.deepcopy(trained) | {"normalizer": {"type": form}}
    folder = write(tokenizer)
    vocabulary = load_vocabulary(folder, {})
    assert vocabulary.normalization == form
    assert f"Unicode form {form}" in prove(folder, vocabulary).limitations[0]


def test_a_difference_is_refused_and_shown(write: Write) -> None:
    tokenizer = trained_byte_level(pre_tokenizer_section((("bytelevel",),)))
    folder = write(tokenizer)
    vocabulary = load_vocabulary(folder, {})
    tokenizer["model"]["merges"].reverse()
    write(tokenizer)
    with pytest.raises(UnsupportedError) as caught:
        prove(folder, vocabulary)
    message = caught.value.message
    assert 'text (English): "The quick' in message
    assert "first difference at token" in message
    assert "the model's own: " in message
    assert "llama.cpp:       " in message
    assert "pre-tokenizer gpt-2" in str(caught.value.hint)


def test_another_bos_behaviour_is_refused(trained: dict[str, Any], write: Write) -> None:
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}},
    }
    folder = write(copy.deepcopy(trained) | {"post_processor": template}, {"eos_token": "<|im_end|>"})
    vocabulary = load_vocabulary(folder, {})
    prove(folder, vocabulary)
    write(trained | {"post_processor": template | {"single": [template["single"][0], *template["single"]]}})
    with pytest.raises(UnsupportedError, match="bos and eos"):
        prove(folder, vocabulary)


def test_a_file_that_the_library_refuses_is_a_damaged_checkpoint(trained: dict[str, Any], write: Write) -> None:
    folder = write(trained)
    vocabulary = load_vocabulary(folder, {})
    write(trained | {"decoder": {"type": "Nonsense"}})
    with pytest.raises(CheckpointError, match="tokenizers library refuses"):
        prove(folder, vocabulary)


@pytest.mark.parametrize("module", ["tokenizers", "sentencepiece"])
def test_a_missing_library_says_what_to_install(
    module: str, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_llm if module == "tokenizers" else tmp_path
    vocabulary = load_vocabulary(tiny_llm, {})
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(UnsupportedError, match=module) as caught:
        prove(folder, vocabulary)
    assert caught.value.hint == f"{sys.executable} -m pip install 'edgellm[pack]'", "the environment that packs"


def test_nothing_is_printed(tiny_llm: Path, capfd: pytest.CaptureFixture[str]) -> None:
    prove(tiny_llm, load_vocabulary(tiny_llm, {}))
    assert capfd.readouterr() == ("", "")


def test_the_log_goes_back_to_who_had_it(tiny_llm: Path) -> None:
    import ctypes

    from llama_cpp import llama_cpp as library

    lines: list[bytes] = []
    callback = library.llama_log_callback(lambda _level, line, _data: lines.append(line))
    library.llama_log_set(callback, ctypes.c_void_p())
    prove(tiny_llm, load_vocabulary(tiny_llm, {}))
    assert lines == []
    library.llama_model_load_from_file(b"/nonexistent.gguf", library.llama_model_default_params())
    library.llama_log_set(library.llama_log_callback(), ctypes.c_void_p())
    assert lines


def test_a_difference_in_length_is_shown() -> None:
    shown = describe_difference(Text("numbers", "1" * 500), ["a", "b"], [0, 1, 0, 1, 0], [0, 1, 0, 1])
    assert "token 4" in shown
    assert "..." in shown
    assert describe_difference(Text("x", ""), ["a"], [0], []).endswith("nothing")


def test_the_corpus_is_broad_and_its_pieces_short() -> None:
    assert len(CORPUS) > 100
    assert max(len(text.text) for text in CORPUS) < 400
    together = "".join(text.text for text in CORPUS)
    for character in "яλאعहবกក我こ한Ⅻ\u200d\t\r\n\x00\U0001f600\u0301":
        assert character in together
