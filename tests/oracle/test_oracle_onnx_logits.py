"""The float32 ONNX graph against transformers, for every family and configuration, and onnx's own checker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from convert_cases import CASES, WINDOW_CASES, make_checkpoint

from onnx_models import GraphRun, log_softmax, write_model

pytestmark = pytest.mark.oracle

N_TOKENS = 160  # longer than every window
CHUNKS = (70, 1, 1, 60, 28)
LOG_PROBABILITY_TOLERANCE = 1e-3
CHUNK_TOLERANCE = 1e-4


@pytest.mark.parametrize("case", CASES | WINDOW_CASES)
def test_float32_graph_equals_transformers(case: str, tmp_path: Path) -> None:
    import onnx
    import torch

    model = make_checkpoint(case, tmp_path / case, seed=7)
    graph = write_model(tmp_path / case, tmp_path / "onnx", "FP32")
    onnx.checker.check_model(str(graph), full_check=False)
    tokens = np.random.default_rng(3).integers(3, 8192, N_TOKENS).tolist()
    with torch.no_grad():
        expected = log_softmax(model(torch.tensor([tokens])).logits[0].numpy())
    run = GraphRun(graph)
    found = log_softmax(run.logits(tokens))
    difference = float(np.abs(found - expected).max())
    print(f"{case}: max |difference of log-probabilities| {difference:.2e}, spread {np.std(expected):.2f}")
    assert np.std(expected) > 0.5, "the model is too flat to tell anything"
    assert difference < LOG_PROBABILITY_TOLERANCE

    run.clear()
    first, pieces = 0, []
    for length in CHUNKS:
        pieces.append(run.logits(tokens[first : first + length]))
        first += length
    assert float(np.abs(log_softmax(np.concatenate(pieces)) - found).max()) < CHUNK_TOLERANCE
