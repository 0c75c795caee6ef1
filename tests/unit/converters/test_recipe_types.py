"""Recipes: the mixes at a few points that are easy to say, and the fallbacks. The oracle tests hold them in full."""

from __future__ import annotations

from collections import Counter

import pytest

from edgellm.errors import UsageError
from edgellm.formats.ggml_types import TYPES
from edgellm_converters.arch.plan import TensorPlan, layer_order
from edgellm_converters.recipes import RECIPES, ArchFacts, get_recipe, tensor_types


def model(n_layers: int, n_embd: int = 256, n_ff: int = 512, *, head: bool = False) -> list[TensorPlan]:
    plans = [TensorPlan("token_embd.weight", (n_embd, 100)), TensorPlan("output_norm.weight", (n_embd,))]
    if head:
        plans.append(TensorPlan("output.weight", (n_embd, 100)))
    for layer in range(n_layers):
        prefix = f"blk.{layer}."
        plans += [TensorPlan(f"{prefix}attn_{part}.weight", (n_embd, n_embd)) for part in ("q", "k", "v", "output")]
        plans += [TensorPlan(f"{prefix}ffn_{part}.weight", (n_embd, n_ff)) for part in ("gate", "up")]
        plans += [
            TensorPlan(f"{prefix}ffn_down.weight", (n_ff, n_embd)),
            TensorPlan(f"{prefix}attn_norm.weight", (n_embd,)),
        ]
        plans += [TensorPlan(f"{prefix}attn_q.bias", (n_embd,))]
    return sorted(plans, key=lambda plan: layer_order(plan.name))


def types_of(recipe: str, plans: list[TensorPlan], group: int = 2, n_layers: int = 16) -> dict[str, str]:
    return tensor_types(get_recipe(recipe), plans, ArchFacts("llama", n_layers, 8, 8 // group))


def layers_with(types: dict[str, str], part: str, type_name: str) -> list[int]:
    return sorted(int(name.split(".")[1]) for name, found in types.items() if part in name and found == type_name)


def test_q4_k_m_spends_more_bits_at_both_ends() -> None:
    types = types_of("Q4_K_M", model(16))
    expected = [0, 1, 4, 7, 10, 13, 14, 15]
    assert layers_with(types, "attn_v.weight", "Q6_K") == expected
    assert layers_with(types, "ffn_down", "Q6_K") == expected
    assert types["token_embd.weight"] == "Q6_K"
    assert types["blk.0.attn_q.weight"] == "Q4_K"


def test_a_head_of_its_own_takes_the_output_type_and_the_embedding_does_not() -> None:
    types = types_of("Q4_K_M", model(2, head=True), n_layers=2)
    assert (types["output.weight"], types["token_embd.weight"]) == ("Q6_K", "Q4_K")


@pytest.mark.parametrize("recipe", RECIPES)
def test_vectors_and_norms_stay_f32(recipe: str) -> None:
    types = types_of(recipe, model(2), n_layers=2)
    assert {types[name] for name in types if "norm" in name or "bias" in name} == {"F32"}


@pytest.mark.parametrize("recipe", ["F32", "F16", "BF16"])
def test_plain_recipes_have_one_type(recipe: str) -> None:
    assert Counter(types_of(recipe, model(2), n_layers=2).values()).keys() == {"F32", recipe}


def test_grouped_attention_keeps_its_small_v_matrices_better() -> None:
    assert types_of("Q2_K", model(16), group=4)["blk.5.attn_v.weight"] == "Q4_K"
    assert types_of("Q2_K", model(16), group=2)["blk.5.attn_v.weight"] == "Q3_K"
    assert types_of("IQ4_XS", model(16), group=4)["blk.5.attn_v.weight"] == "Q5_K"


@pytest.mark.parametrize(
    ("recipe", "row", "expected"),
    [
        ("Q4_K_S", 96, "Q5_0"),
        ("Q5_K_S", 96, "Q5_1"),
        ("Q6_K", 96, "Q8_0"),
        ("Q3_K_S", 96, "Q4_0"),
        ("IQ4_XS", 96, "IQ4_NL"),
        ("Q4_K_S", 100, "F16"),
        ("Q8_0", 100, "F16"),
        ("Q4_0", 100, "F16"),
    ],
)
def test_odd_rows_fall_back(recipe: str, row: int, expected: str) -> None:
    plans = [TensorPlan("blk.9.attn_q.weight", (row, 64)), TensorPlan("output.weight", (256, 64))]
    assert tensor_types(get_recipe(recipe), plans, ArchFacts("llama", 16, 8, 8))["blk.9.attn_q.weight"] == expected


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("row", [32, 64, 100, 256, 896])
def test_every_type_fits_its_rows(recipe: str, row: int) -> None:
    plans = model(3, n_embd=row, n_ff=row * 3)
    for plan in plans:
        assert plan.shape[0] % TYPES[types_of(recipe, plans, n_layers=3)[plan.name]].block_size == 0


def test_experts_are_placed_by_their_name() -> None:
    plans = [TensorPlan(f"blk.{layer}.ffn_down_exps.weight", (256, 256, 4)) for layer in range(16)]
    facts = ArchFacts("qwen3moe", 16, 8, 2, n_experts=4)
    types = tensor_types(get_recipe("Q4_K_M"), plans, facts)
    assert layers_with(types, "ffn_down", "Q6_K") == [0, 1, 4, 7, 10, 13, 14, 15]


def test_recipe_names_are_found_in_any_case_and_others_refused() -> None:
    assert get_recipe("q4_k_m").ftype == 15
    with pytest.raises(UsageError, match="Q9"):
        get_recipe("Q9")
