"""What the planner knows of ONNX models."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgellm.devices.fit import FitRequest, choose, fit_table
from edgellm.devices.load import load_profile
from edgellm.devices.model import ModelShape
from edgellm.sources.local import open_source
from edgellm_converters.pack.open_input import open_input


@pytest.fixture(scope="module")
def shapes(request: pytest.FixtureRequest) -> dict[str, ModelShape]:
    tiny = Path(__file__).resolve().parents[2] / "models" / "tiny-llm"
    with open_input(open_source(str(tiny)), to_format="onnx") as model:
        return {recipe: model.shape(recipe) for recipe in model.recipes()}


def test_sizes_are_those_of_the_files(shapes: dict[str, ModelShape]) -> None:
    """4-bit blocks of 128 take a scale of 32 bits, and a zero point of 4."""
    matrix = next(t for t in shapes["INT4_128"].tensors if t.name == "blk.0.ffn_down.weight")
    assert (matrix.type, matrix.size_bytes) == ("INT4_128", matrix.n_elements // 2 + matrix.n_elements // 128 * 4.5)
    symmetric = next(t for t in shapes["INT4_128_SYM"].tensors if t.name == "blk.0.ffn_down.weight")
    assert (symmetric.type, symmetric.size_bytes) == (
        "INT4_128_SYM",
        symmetric.n_elements // 2 + symmetric.n_elements // 32,
    )
    assert shapes["FP32"].n_parameters == shapes["INT8_DYNAMIC"].n_parameters


def test_the_cache_is_float32_and_the_weights_are_rearranged(shapes: dict[str, ModelShape]) -> None:
    choice = choose(shapes, load_profile("intel-n100").profile, FitRequest(sequences=1))
    assert (choice.settings.kv_type_k, choice.settings.repack, choice.settings.flash_attention) == ("f32", False, False)
    assert choice.estimate.memory.repack_bytes > 0
    assert "ONNX Runtime keeps a rearranged copy" in choice.why


def test_arm_prefers_recipes_without_zero_points(shapes: dict[str, ModelShape]) -> None:
    four_bits = {recipe: shape for recipe, shape in shapes.items() if recipe.startswith("INT4")}
    assert choose(four_bits, load_profile("raspberrypi5").profile).recipe.endswith("_SYM")
    assert not choose(four_bits, load_profile("intel-n100").profile).recipe.endswith("_SYM")


def test_a_profile_that_names_recipes_is_followed(shapes: dict[str, ModelShape]) -> None:
    profile = load_profile("raspberrypi5").profile
    policy = msgspec.structs.replace(profile.policy, preferred=("INT8_DYNAMIC",))
    assert choose(shapes, msgspec.structs.replace(profile, policy=policy)).recipe == "INT8_DYNAMIC"


def test_float32_is_never_chosen_by_itself(shapes: dict[str, ModelShape]) -> None:
    profile = load_profile("intel-n100").profile
    assert choose(shapes, profile).recipe != "FP32"
    assert "FP32" in {row.recipe for row in fit_table(shapes, profile)}, "a small model may be shown with it"
