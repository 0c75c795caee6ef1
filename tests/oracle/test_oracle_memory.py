"""The memory model against what llama.cpp allocates here: weights, repacked copy, KV cache, compute buffer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgellm.devices.fit import RunSettings, estimate
from edgellm.devices.gguf_shape import shape_from_gguf
from edgellm.devices.local import detect_local
from edgellm.formats.gguf import read_header

pytestmark = pytest.mark.oracle
MIB = 2**20
VOCABULARY, HIDDEN, LAYERS, FEED_FORWARD = 4096, 512, 4, 2048

# A process of its own: its resident set is measured, and the log callback is global.
CHILD = """
import ctypes, json, re, sys
import llama_cpp as L
from edgellm_runtimes.llama_cpp.amx import leave_out_amx
leave_out_amx(L.llama_cpp._lib)  # as our runtime does: AMX would take the place of the repacked copy
path, context, ubatch, rooms, flash, mmap, repack = sys.argv[1], *map(int, sys.argv[2:])
log = []
keep = L.llama_log_callback(lambda level, text, user: log.append(text.decode("utf-8", "replace")))
L.llama_log_set(keep, ctypes.c_void_p(0))
L.llama_backend_init()
m = L.llama_model_default_params()
m.use_extra_bufts, m.load_mode, m.n_gpu_layers = bool(repack), mmap, 0
model = L.llama_model_load_from_file(path.encode(), m)
c = L.llama_context_default_params()
c.n_ctx, c.n_batch, c.n_ubatch, c.n_seq_max, c.n_outputs_max = context * rooms, ubatch, ubatch, rooms, rooms
c.kv_unified, c.flash_attn_type, c.swa_full = rooms == 1, flash, False
ctx = L.llama_init_from_model(model, c)
found = re.findall(r"(\\S+)\\s+(model|KV|compute|output) buffer\\s*size\\s*=\\s*([\\d.]+) MiB", "".join(log))
print(json.dumps({f"{kind} {name}": float(size) for name, kind, size in found}))
"""


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model of Q4_0 blocks."""
    import gguf
    import numpy as np

    path = tmp_path_factory.mktemp("memory") / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(8192)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(8)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"token{i}" for i in range(VOCABULARY)])
    writer.add_token_scores([0.0] * VOCABULARY)
    writer.add_token_types([1] * VOCABULARY)
    random = np.random.default_rng(0)

    def add(name: str, rows: int, columns: int) -> None:
        data = gguf.quants.quantize(random.standard_normal((rows, columns), np.float32), gguf.GGMLQuantizationType.Q4_0)
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    add("token_embd.weight", VOCABULARY, HIDDEN)
    for i in range(LAYERS):
        for name, rows, columns in (
            ("attn_q", HIDDEN, HIDDEN),
            ("attn_k", HIDDEN // 4, HIDDEN),
            ("attn_v", HIDDEN // 4, HIDDEN),
            ("attn_output", HIDDEN, HIDDEN),
            ("ffn_gate", FEED_FORWARD, HIDDEN),
            ("ffn_up", FEED_FORWARD, HIDDEN),
            ("ffn_down", HIDDEN, FEED_FORWARD),
        ):
            add(f"blk.{i}.{name}.weight", rows, columns)
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{i}.{name}.weight", np.ones(HIDDEN, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(HIDDEN, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    "run",
    [
        RunSettings(context=1024),
        RunSettings(context=4096),
        RunSettings(context=4096, ubatch=128),
        RunSettings(context=1024, sequences=4),
        RunSettings(context=4096, flash_attention=False),
        RunSettings(context=1024, repack=False),
        RunSettings(context=1024, mmap=False),
    ],
    ids=str,
)
def test_buffers_are_those_of_llama_cpp(model_file: Path, run: RunSettings) -> None:
    arguments = [run.context, run.ubatch, run.rooms, run.flash_attention, run.mmap, run.repack]
    command = [sys.executable, "-c", CHILD, str(model_file), *(str(int(value)) for value in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    real: dict[str, Any] = json.loads(done.stdout)
    shape = shape_from_gguf(read_header(model_file))
    memory = estimate(shape, detect_local(), run).memory
    assert memory.kv_bytes == pytest.approx(real["KV CPU"] * MIB, rel=0.001)
    assert memory.repack_bytes == pytest.approx(real.get("model CPU_REPACK", 0.0) * MIB, abs=0.02 * MIB)
    assert memory.compute_bytes == pytest.approx((real["compute CPU"] + real["output CPU"]) * MIB, rel=0.05)
    weights = real.get("model CPU_Mapped", 0.0) if run.mmap else real["model CPU"]
    assert memory.weights_bytes == pytest.approx(weights * MIB, rel=0.03, abs=0.1 * MIB)
