"""Random checkpoints of every family, in several configurations each, and the two ways to convert them.

The weights are drawn so that every one of them matters: norms and biases included. The tokenizer is tiny-llm's.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from oracle_tools import llama_source

TOKENIZER = Path(__file__).resolve().parent.parent / "models" / "tiny-llm"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")

COMMON: dict[str, Any] = {
    "vocab_size": 8192,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": None,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

CASES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "tie_word_embeddings": False},
    "llama-tied": {"model_type": "llama", "tie_word_embeddings": True, "rope_theta": 500000.0},
    "llama-head-dim": {"model_type": "llama", "head_dim": 32, "num_key_value_heads": 1},
    "llama-biases": {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "num_key_value_heads": 4},
    "llama-llama3": {"model_type": "llama", "rope_parameters": LLAMA3 | {"rope_theta": 500000.0}},
    "llama-linear": {"model_type": "llama", "rope_parameters": {"rope_type": "linear", "factor": 2.5}},
    "llama-yarn": {"model_type": "llama", "rope_parameters": YARN},
    "llama-yarn-attention": {"model_type": "llama", "rope_parameters": YARN | {"attention_factor": 1.3}},
    "llama-yarn-mscale": {
        "model_type": "llama",
        "rope_parameters": YARN | {"mscale": 1.0, "mscale_all_dim": 0.5, "beta_fast": 32.0, "beta_slow": 1.0},
    },
    "mistral": {"model_type": "mistral", "sliding_window": None},
    "mistral-window": {"model_type": "mistral", "sliding_window": 96, "tie_word_embeddings": True},
    "mistral-head-dim": {"model_type": "mistral", "head_dim": 48, "rope_theta": 1000000.0},
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": False},
    "qwen2-tied": {"model_type": "qwen2", "tie_word_embeddings": True, "num_key_value_heads": 1, "rope_theta": 1e6},
    "qwen2-yarn": {"model_type": "qwen2", "rope_parameters": YARN | {"rope_theta": 1000000.0}},
    "qwen3": {"model_type": "qwen3", "head_dim": 16, "tie_word_embeddings": False},
    "qwen3-tied": {"model_type": "qwen3", "head_dim": 32, "tie_word_embeddings": True, "rope_theta": 1e6},
    "qwen3-yarn": {"model_type": "qwen3", "head_dim": 64, "rope_parameters": YARN},
    "smollm3": {"model_type": "smollm3", "num_hidden_layers": 8, "tie_word_embeddings": True},
    "smollm3-untied": {"model_type": "smollm3", "num_hidden_layers": 5, "tie_word_embeddings": False},
    "smollm3-yarn": {"model_type": "smollm3", "num_hidden_layers": 4, "rope_parameters": YARN | {"rope_theta": 5e6}},
}

# Windows shorter than the texts of the tests: what a runtime that ignores them cannot compute.
WINDOW_CASES: dict[str, dict[str, Any]] = {
    "mistral-short-window": {"model_type": "mistral", "sliding_window": 24},
    "qwen2-window": {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 17,
        "max_window_layers": 1,
        "num_hidden_layers": 3,
    },
    "qwen3-window": {
        "model_type": "qwen3",
        "head_dim": 32,
        "use_sliding_window": True,
        "sliding_window": 33,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
}


def make_checkpoint(case: str, folder: Path, *, dtype: str = "float32", seed: int = 0) -> Any:
    """Save a random model of ``case`` with transformers into ``folder``; returns the model, in float32 arithmetic."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    options = COMMON | (CASES | WINDOW_CASES)[case]
    if "rope_parameters" in options:
        options = options | {"rope_parameters": {"rope_theta": 10000.0} | options["rope_parameters"]}
    config = AutoConfig.for_model(**options)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).to(getattr(torch, dtype))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.copy_(1.0 + 0.3 * torch.randn_like(parameter))
            elif parameter.dim() == 1:
                parameter.normal_(0.0, 0.5)
            else:
                parameter.normal_(0.0, 2.0 / parameter.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(TOKENIZER / name, folder / name)
    return model.float().eval()


def old_style_config(folder: Path) -> None:
    """Rewrite config.json as transformers 4 wrote it: ``rope_theta`` and ``rope_scaling``."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    path.write_text(json.dumps(config))


def pack(folder: Path, recipe: str, target: Path, *, name: str = "case") -> None:
    """Convert with our own writer."""
    from edgellm.progress import CancelToken, SilentProgress
    from edgellm_converters.checkpoint import open_checkpoint
    from edgellm_converters.gguf import GeneralMetadata, write_gguf
    from edgellm_converters.recipes import get_recipe
    from edgellm_converters.tokenizer import load_vocabulary

    with open_checkpoint(folder) as checkpoint, target.open("wb") as sink:
        write_gguf(
            checkpoint,
            load_vocabulary(folder, checkpoint.config),
            get_recipe(recipe),
            sink,
            threads=2,
            progress=SilentProgress(),
            cancel=CancelToken(),
            general=GeneralMetadata(name=name),
        )


_MANY = """
import json, sys
sys.path.insert(0, sys.argv[1])
import convert_wrapper
for arguments in json.loads(sys.argv[2]):
    sys.argv = ["convert_wrapper.py", *arguments]
    convert_wrapper.main()
"""


def reference_convert(jobs: list[tuple[Path, str, Path]], *, name: str = "case") -> None:
    """Run llama.cpp's converter over (checkpoint, outtype, target) jobs, in one process."""
    arguments = [
        [str(llama_source()), str(folder), "--outtype", outtype, "--outfile", str(target), "--model-name", name]
        for folder, outtype, target in jobs
    ]
    done = subprocess.run(
        [sys.executable, "-c", _MANY, str(Path(__file__).parent), json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
