"""Names as publishers really give them."""

from __future__ import annotations

import pytest

from edgellm.errors import NotFoundError, UsageError
from edgellm.sources.gguf_files import GGUFFile, find_gguf_files, main_model, select_gguf
from edgellm.sources.hub.repository import HubFile


def found(*paths: str) -> list[GGUFFile]:
    return find_gguf_files(HubFile(path, 100 + number, "a" * 64, None, "") for number, path in enumerate(paths))


@pytest.mark.parametrize(
    ("path", "label", "stem"),
    [
        ("Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Q4_K_M", "Llama-3.2-1B-Instruct"),
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M", "qwen2.5-0.5b-instruct"),
        ("tinyllama-1.1b-chat-v1.0.Q8_0.gguf", "Q8_0", "tinyllama-1.1b-chat-v1.0"),
        ("Phi-3-mini-4k-instruct-q4.gguf", "Q4", "Phi-3-mini-4k-instruct"),
        ("Phi-3-mini-4k-instruct-fp16.gguf", "F16", "Phi-3-mini-4k-instruct"),
        ("ggml-model-f16.gguf", "F16", "ggml-model"),
        ("Qwen3-4B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL", "Qwen3-4B"),
        ("Qwen3-4B-IQ4_XS.gguf", "IQ4_XS", "Qwen3-4B"),
        ("gemma-3-4b-it-qat-Q4_0.gguf", "Q4_0", "gemma-3-4b-it-qat"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4", "gpt-oss-20b"),
        ("BF16/Qwen3-4B.gguf", "BF16", "Qwen3-4B"),
        ("model.gguf", "model", "model"),
        ("Meta-Llama-3.1-8B-Instruct-IQ2_M.gguf", "IQ2_M", "Meta-Llama-3.1-8B-Instruct"),
        ("Falcon-TQ2_0.gguf", "TQ2_0", "Falcon"),
    ],
)
def test_the_quant_is_read_from_the_name(path: str, label: str, stem: str) -> None:
    [file] = found(path)
    assert (file.label, file.stem) == (label, stem)


def test_parts_are_one_model_and_a_set_with_a_hole_is_none() -> None:
    [file] = found(
        "Q4_K_M/big-Q4_K_M-00002-of-00002.gguf",
        "Q4_K_M/big-Q4_K_M-00001-of-00002.gguf",
        "big-Q8_0-00001-of-00003.gguf",
        "big-Q8_0-00003-of-00003.gguf",
    )
    assert [part.name for part in file.parts] == ["big-Q4_K_M-00001-of-00002.gguf", "big-Q4_K_M-00002-of-00002.gguf"]
    assert (file.label, file.stem, file.size_bytes) == ("Q4_K_M", "big", 201)


def test_companions_and_dead_formats_are_left_out() -> None:
    assert found("mmproj-model-f16.gguf", "model-imatrix.gguf", "m-Q4_0_4_8.gguf", "README.md", "x.safetensors") == []


def test_the_model_with_most_files_is_the_repositorys() -> None:
    files = found("m-Q4_0.gguf", "m-Q8_0.gguf", "draft-Q8_0.gguf")
    assert [file.name for file in main_model(files, "o/r")] == ["m-Q4_0.gguf", "m-Q8_0.gguf"]
    with pytest.raises(UsageError, match="several models") as caught:
        main_model(found("a-Q4_0.gguf", "b-Q4_0.gguf"), "o/r")
    assert "o/r:a-Q4_0.gguf" in (caught.value.hint or "")


def test_a_selector_names_a_quant_in_any_case_or_a_file() -> None:
    files = found("m-Q4_K_M.gguf", "m-UD-Q2_K_XL.gguf", "other-Q8_0.gguf")
    assert select_gguf(files, "q4_k_m", "o/r").name == "m-Q4_K_M.gguf"
    assert select_gguf(files, "Q2_K_XL", "o/r").label == "UD-Q2_K_XL"
    assert select_gguf(files, "other-Q8_0.gguf", "o/r").stem == "other"
    with pytest.raises(NotFoundError) as caught:
        select_gguf(files, "Q6_K", "o/r")
    assert "Q4_K_M (100 B)" in (caught.value.hint or "")


def test_a_quant_of_two_models_asks_for_the_file() -> None:
    with pytest.raises(UsageError, match="2 files"):
        select_gguf(found("a-Q4_0.gguf", "b-Q4_0.gguf"), "Q4_0", "o/r")
