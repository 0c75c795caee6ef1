"""Quantization recipes under llama.cpp's names: which type each tensor of a model gets.

The mixes are those of llama.cpp's quantizer (src/llama-quant.cpp of the vendored source) without an importance matrix;
``tests/oracle`` holds them against ``llama-quantize`` itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgellm.errors import UnsupportedError, UsageError
from edgellm.formats.ggml_types import TYPES, is_quantized
from edgellm_converters.recipe_mix import ArchFacts, Counts, mixed_type
from edgellm_converters.recipe_names import Category, HasRows, category_of, may_quantize

__all__ = ["RECIPES", "ArchFacts", "Recipe", "get_recipe", "tensor_types"]


@dataclass(frozen=True)
class Recipe:
    """One recipe. ``default_type`` is the type of a tensor for which the mix has no better one."""

    name: str
    ftype: int  # general.file_type, enum llama_ftype
    default_type: str


_TABLE = (
    Recipe("F32", 0, "F32"),
    Recipe("BF16", 32, "BF16"),
    Recipe("F16", 1, "F16"),
    Recipe("Q8_0", 7, "Q8_0"),
    Recipe("Q6_K", 18, "Q6_K"),
    Recipe("Q5_K_M", 17, "Q5_K"),
    Recipe("Q5_K_S", 16, "Q5_K"),
    Recipe("Q4_1", 3, "Q4_1"),
    Recipe("Q4_K_M", 15, "Q4_K"),
    Recipe("Q4_K_S", 14, "Q4_K"),
    Recipe("IQ4_NL", 25, "IQ4_NL"),
    Recipe("Q4_0", 2, "Q4_0"),
    Recipe("IQ4_XS", 30, "IQ4_XS"),
    Recipe("Q3_K_L", 13, "Q3_K"),
    Recipe("Q3_K_M", 12, "Q3_K"),
    Recipe("Q3_K_S", 11, "Q3_K"),
    Recipe("Q2_K", 10, "Q2_K"),
)
RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _TABLE})

_NARROWER = {"IQ4_XS": "IQ4_NL", "Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}


def get_recipe(name: str) -> Recipe:
    """The recipe called ``name`` (any case). Raises UsageError naming them all."""
    recipe = RECIPES.get(name.upper())
    if recipe is None:
        raise UsageError(f"there is no recipe {name[:40]!r}", hint=f"recipes: {', '.join(RECIPES)}")
    return recipe


def tensor_types(
    recipe: Recipe, tensors: Iterable[HasRows], facts: ArchFacts, *, kept_types: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The ggml type of every tensor.

    ``tensors`` must come in ``layer_order``: mixes count the layers they have seen. ``kept_types`` gives the type of a
    tensor that no recipe quantizes (norms, biases); F32 where it says nothing.
    """
    tensors = list(tensors)
    kept = kept_types or {}
    categories = {tensor.name: category_of(tensor.name) for tensor in tensors}
    counts = Counts(
        n_attention_v=sum(category in (Category.ATTENTION_V, Category.ATTENTION_QKV, Category.ATTENTION_KV_B)
                          for category in categories.values()),
        tied=Category.OUTPUT not in categories.values(),
    )  # fmt: skip
    types = {}
    for tensor in tensors:
        if not may_quantize(tensor.name, tensor.shape, facts.architecture):
            types[tensor.name] = kept.get(tensor.name, "F32")
        elif not is_quantized(recipe.default_type):
            types[tensor.name] = recipe.default_type
        else:
            category = categories[tensor.name]
            wanted = mixed_type(recipe.name, recipe.default_type, category, tensor, facts, counts)
            types[tensor.name] = _fitting(tensor, wanted)
    return types


def _fitting(tensor: HasRows, wanted: str) -> str:
    """``wanted``, or the type that llama.cpp takes instead when a row is not a whole number of its blocks."""
    row_length = tensor.shape[0]
    if row_length % TYPES[wanted].block_size == 0:
        return wanted
    if TYPES[wanted].block_size > 32 and wanted not in _NARROWER:
        raise UnsupportedError(f"rows of {row_length} in {tensor.name} do not fit the type {wanted}")
    instead = _NARROWER.get(wanted, wanted)
    return instead if row_length % TYPES[instead].block_size == 0 else "F16"
