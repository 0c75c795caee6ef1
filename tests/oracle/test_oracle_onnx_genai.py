"""onnxruntime-genai runs our bundles unchanged, and says the same as our runtime and as transformers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from convert_cases import make_checkpoint

from edgellm.bundle.opened import open_bundle
from edgellm.devices.load import profiles_folder
from edgellm_converters.onnx.recipes import ONNX_RECIPES
from edgellm_runtimes.backend import BackendSettings, TokenSlice
from edgellm_runtimes.onnx.model import OnnxBackend
from onnx_models import TINY_LLM

pytestmark = pytest.mark.oracle

FAMILIES = ["llama-tied", "mistral-short-window", "qwen2-tied", "qwen3", "smollm3"]
N_PROMPT, N_TOKENS = 40, 64

CHILD = """
import sys
import numpy as np
import onnxruntime_genai as og
model = og.Model(sys.argv[1])
prompt = [int(token) for token in sys.argv[2].split(",")]
parameters = og.GeneratorParams(model)
parameters.set_search_options(max_length=len(prompt) + int(sys.argv[3]), do_sample=False)
generator = og.Generator(model, parameters)
generator.append_tokens(np.asarray([prompt], np.int32))
while not generator.is_done():
    generator.generate_next_token()
print(*generator.get_sequence(0)[len(prompt):])
"""


def pack_and_lay_out(checkpoint: Path, recipe: str, folder: Path, device: str | Path = "raspberrypi5") -> Path:
    """Pack, and give the files of the bundle their names: what any other program would load."""
    environment = {**os.environ, "EDGELLM_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "edgellm.cli.main", "pack", str(checkpoint), "-d", str(device), "--quiet"]
    command += ["--format", "onnx", "--quant", recipe, "-o", str(folder / "bundle")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    model = folder / "model"
    model.mkdir()
    for name, path in open_bundle(folder / "bundle").files.items():
        shutil.copyfile(path, model / name)
    return model


def genai_tokens(model: Path, prompt: list[int], n_tokens: int) -> list[int]:
    arguments = [sys.executable, "-c", CHILD, str(model), ",".join(map(str, prompt)), str(n_tokens)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [int(token) for token in done.stdout.split()]


def our_tokens(model: Path, prompt: list[int], n_tokens: int, end: int, kv_type: str = "f32") -> list[int]:
    settings = BackendSettings(context=256, kv_type_k=kv_type, kv_type_v=kv_type, shared_cells=False)
    backend = OnnxBackend(model / "model.onnx", settings)
    try:
        tokens: list[int] = []
        fed = prompt
        while len(tokens) < n_tokens and (not tokens or tokens[-1] != end):
            logits = backend.decode([TokenSlice(0, tuple(fed))])
            fed = [int(np.argmax(logits[0]))]
            tokens += fed
        return tokens
    finally:
        backend.close()


@pytest.mark.parametrize("recipe", ["FP32", "INT4_32_M"])
@pytest.mark.parametrize("case", FAMILIES)
def test_every_family_gives_the_same_greedy_tokens(case: str, recipe: str, tmp_path: Path) -> None:
    import torch

    model = make_checkpoint(case, tmp_path / case, seed=7)
    folder = pack_and_lay_out(tmp_path / case, recipe, tmp_path)
    prompt = np.random.default_rng(3).integers(3, 8192, N_PROMPT).tolist()
    end = model.config.eos_token_id
    found = genai_tokens(folder, prompt, N_TOKENS)
    assert len(found) == N_TOKENS or found[-1] == end
    assert found == our_tokens(folder, prompt, N_TOKENS, end)
    if recipe != "FP32":
        return
    with torch.no_grad():
        logits = model(torch.tensor([prompt + found])).logits[0]
    assert found == logits.argmax(-1)[N_PROMPT - 1 : -1].tolist(), "each is the one that transformers would add"


@pytest.mark.parametrize("recipe", sorted(ONNX_RECIPES.keys() - {"FP32", "INT4_32_M"}))
def test_every_recipe_gives_the_same_greedy_tokens(recipe: str, tmp_path: Path) -> None:
    model = make_checkpoint("llama-tied", tmp_path / "llama-tied", seed=7)
    folder = pack_and_lay_out(tmp_path / "llama-tied", recipe, tmp_path)
    prompt = np.random.default_rng(3).integers(3, 8192, N_PROMPT).tolist()
    end = model.config.eos_token_id
    found = genai_tokens(folder, prompt, N_TOKENS)
    ours = our_tokens(folder, prompt, N_TOKENS, end)
    assert found == [token for token in ours if token != end], "its sequence does not hold the end"
    assert len(ours) == N_TOKENS or ours[-1] == end


@pytest.mark.parametrize("case", ["llama-tied", "mistral-short-window", "qwen3"])
def test_an_int8_cache_gives_the_same_greedy_tokens(case: str, tmp_path: Path) -> None:
    model = make_checkpoint(case, tmp_path / case, seed=7)
    profile = tmp_path / "asking.toml"
    asked = '[policy]\nkv_type_k = "q8_0"\nkv_type_v = "q8_0"\n'
    profile.write_text((profiles_folder() / "raspberrypi5.toml").read_text().replace("[policy]\n", asked))
    folder = pack_and_lay_out(tmp_path / case, "FP32", tmp_path, profile)
    prompt = np.random.default_rng(3).integers(3, 8192, N_PROMPT).tolist()
    end = model.config.eos_token_id
    found = genai_tokens(folder, prompt, N_TOKENS)
    ours = our_tokens(folder, prompt, N_TOKENS, end, "int8")
    assert found == [token for token in ours if token != end], "its sequence does not hold the end"
    assert len(found) > 16


def test_its_tokenizer_and_template_are_the_models_own(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    folder = pack_and_lay_out(TINY_LLM, "INT4_32", tmp_path)
    code = (
        "import sys, onnxruntime_genai as og\n"
        "tokenizer = og.Tokenizer(og.Model(sys.argv[1]))\n"
        "print(*tokenizer.encode(sys.argv[2]))\n"
        'print(tokenizer.apply_chat_template(\'[{"role": "user", "content": "Hi"}]\', '
        "add_generation_prompt=True))"
    )
    text = "Hello world, ünïcode and 12345"
    done = subprocess.run([sys.executable, "-c", code, str(folder), text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    ids, _, rendered = done.stdout.partition("\n")
    assert [int(token) for token in ids.split()] == Tokenizer.from_file(str(TINY_LLM / "tokenizer.json")).encode(
        text
    ).ids
    assert "Hi" in rendered
