"""A bundle that an earlier version wrote must always load. Never rewrite tests/data/bundles/v1; add v2 beside it."""

from __future__ import annotations

from pathlib import Path

from edgellm.bundle.layout import open_layout
from edgellm.bundle.opened import open_bundle
from edgellm.bundle.verify import verify_layout
from edgellm.formats.gguf import read_header

BUNDLE = Path(__file__).resolve().parents[2] / "data" / "bundles" / "v1"


def test_a_bundle_of_format_1_is_whole_and_loads() -> None:
    assert verify_layout(open_layout(BUNDLE)).findings == []
    opened = open_bundle(BUNDLE)
    assert opened.digest == "sha256:b6c680d8b61c6c355cb5c9089217136a4ac668ab56b807ad4cb74a409cd4ca93"
    assert opened.name == "tiny:raspberrypi5-q4_k_m"
    assert opened.config.descriptor.licenses == ["Apache-2.0"]
    assert opened.read_doc("LICENSE") == b"Apache License\n"
    plan = opened.plan
    assert (plan.format_version, plan.minimum_edgellm, plan.recipe, plan.context) == (1, "0.1.0", "Q4_K_M", 4096)
    assert (plan.target.id, plan.predicted_memory.total_bytes) == ("raspberrypi5", 3 << 30)
    assert plan.predicted_decode is not None
    assert plan.predicted_decode.high == 7.5
    assert plan.eos_token_ids == (1, 2)
    assert plan.source.files == {"model.safetensors": "sha256:" + "3" * 64}


def test_its_model_file_is_a_gguf_that_is_read_where_it_lies() -> None:
    header = read_header(open_bundle(BUNDLE).weights_path)
    assert header.metadata["general.architecture"] == "llama"
    assert [tensor.name for tensor in header.tensors] == ["token_embd.weight"]
