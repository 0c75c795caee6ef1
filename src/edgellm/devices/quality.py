"""How much each recipe costs in quality, and which recipes are worth a row."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["FOUR_BIT_LOSS", "base_recipe", "best_first", "is_sensible", "quality_loss"]

# Rise in perplexity of Llama-3-8B on wikitext-2 against F16, no importance matrix: tools/perplexity/README.md of
# llama.cpp (IQ4_NL and IQ4_XS are published with a matrix only). Other models differ in size, hardly in order.
_LOSS = {
    "F32": 0.0,
    "FP32": 0.0,
    "BF16": 0.0005,
    "F16": 0.0015,
    "Q8_0": 0.0027,
    "Q6_K": 0.0217,
    "Q5_K_M": 0.0570,
    "Q5_K_S": 0.1050,
    "Q5_1": 0.1062,
    "Q5_0": 0.1316,
    "Q4_K_M": 0.1755,
    "IQ4_NL": 0.2240,
    "IQ4_XS": 0.2281,
    "Q4_K_S": 0.2689,
    "Q4_1": 0.4511,
    "Q4_0": 0.4685,
    "Q3_K_L": 0.5562,
    "Q3_K_M": 0.6569,
    "Q3_K_S": 1.6322,
    "Q2_K": 3.5199,
}
# Recipes of ONNX models, for which nobody publishes any: each stands where its divergence from float32, on the test
# model, lies between those of the above (tests/benchmarks/onnx_recipes.py).
_LOSS |= {
    "INT8_128": 0.006,
    "INT4_32_M": 0.150,
    "INT4_32_M_SYM": 0.169,
    "INT8_DYNAMIC": 0.154,
    "INT4_64_M": 0.225,
    "INT4_64_M_SYM": 0.219,
    "INT4_128_M": 0.282,
    "INT4_128_M_SYM": 0.247,
    "INT4_32": 0.531,
    "INT4_32_SYM": 0.594,
    "INT4_64": 0.606,
    "INT4_64_SYM": 0.646,
    "INT4_128": 0.804,
    "INT4_128_SYM": 0.825,
}
FOUR_BIT_LOSS = _LOSS["Q4_0"]  # `auto` goes below only when nothing else fits
_LARGEST_UNQUANTIZED = {"F32": 150_000_000, "FP32": 150_000_000, "F16": 600_000_000, "BF16": 600_000_000}  # weights


def quality_loss(recipe: str) -> float:
    """Rise in perplexity; a mix that nobody measured counts as the measured one it is built on, else as the worst.

    Publishers' own mixes (UD-Q4_K_XL, Q6_K_L) keep some tensors in more bits than the recipe of their name.
    """
    return _LOSS.get(base_recipe(recipe), max(_LOSS.values()))


def base_recipe(recipe: str) -> str:
    """The measured recipe that a publisher's mix is built on: ``Q4_K_M`` of ``UD-Q4_K_XL``; others as they are."""
    plain = recipe.removeprefix("UD-")
    if plain in _LOSS:
        return plain
    found = re.fullmatch(r"(Q[2-8])(?:_K)?(?:_[A-Z0-9]+)?", plain)
    middle = (f"{found[1]}_K_M", f"{found[1]}_K", f"{found[1]}_0") if found else ()
    return next((name for name in middle if name in _LOSS), "Q4_0" if plain in ("MXFP4", "NVFP4") else plain)


def best_first(recipes: Iterable[str]) -> list[str]:
    """The recipes by quality, the best first; equal ones by name."""
    return sorted(recipes, key=lambda recipe: (quality_loss(recipe), recipe))


def is_sensible(recipe: str, n_parameters: int) -> bool:
    """False for unquantized weights of a model that is not small."""
    return n_parameters <= _LARGEST_UNQUANTIZED.get(recipe, n_parameters)
