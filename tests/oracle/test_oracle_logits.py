"""The logits of our F32 GGUF in llama.cpp against those of transformers, for every family and configuration."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from convert_cases import CASES, make_checkpoint, pack
from numpy.typing import NDArray

from onnx_models import log_softmax

pytestmark = pytest.mark.oracle

N_TOKENS = 96
LOG_PROBABILITY_TOLERANCE = 1e-3
MARGIN = 2e-3
_F32 = 0
_quiet: list[object] = []  # ctypes callbacks must outlive their use


def llama_cpp_logits(path: Path, tokens: list[int]) -> NDArray[np.float32]:
    """Logits [tokens, vocabulary] with an F32 KV cache and flash attention off."""
    import llama_cpp

    if not _quiet:
        _quiet.append(llama_cpp.llama_log_callback(lambda level, text, data: None))
        llama_cpp.llama_log_set(_quiet[0], ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
    model_parameters = llama_cpp.llama_model_default_params()
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), model_parameters)
    assert model
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 256
    parameters.n_outputs_max = len(tokens)
    parameters.n_threads = parameters.n_threads_batch = 2
    parameters.type_k = parameters.type_v = _F32
    parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = llama_cpp.llama_init_from_model(model, parameters)
    assert context
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for index, token in enumerate(tokens):
        batch.token[index], batch.pos[index], batch.n_seq_id[index] = token, index, 1
        batch.seq_id[index][0] = 0
        batch.logits[index] = 1
    assert llama_cpp.llama_decode(context, batch) == 0
    n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    logits = np.stack(
        [np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, i), (n_vocab,)) for i in range(len(tokens))]
    ).copy()
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return logits


@pytest.mark.parametrize("case", CASES)
def test_logits_equal_transformers(case: str, tmp_path: Path) -> None:
    import torch

    model = make_checkpoint(case, tmp_path / case, seed=7)
    pack(tmp_path / case, "F32", tmp_path / "model.gguf")
    tokens = np.random.default_rng(3).integers(3, 8192, N_TOKENS).tolist()
    with torch.no_grad():
        expected = log_softmax(model(torch.tensor([tokens])).logits[0].numpy())
    found = log_softmax(llama_cpp_logits(tmp_path / "model.gguf", tokens))
    difference = float(np.abs(found - expected).max())
    print(f"{case}: max |difference of log-probabilities| {difference:.2e}, spread {np.std(expected):.2f}")
    assert np.std(expected) > 0.5, "the model is too flat to tell anything"
    assert difference < LOG_PROBABILITY_TOLERANCE
    best_two = np.sort(expected, axis=-1)[:, -2:]
    clear = best_two[:, 1] - best_two[:, 0] > MARGIN
    assert clear.mean() > 0.9
    assert (found.argmax(-1) == expected.argmax(-1))[clear].all()
