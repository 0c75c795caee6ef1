"""How much each recipe costs in quality, and which recipes are worth a row."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["FOUR_BIT_LOSS", "best_first", "is_sensible", "quality_loss"]

# Rise in perplexity of Llama-3-8B on wikitext-2 against F16, no importance matrix: tools/perplexity/README.md of
# llama.cpp (IQ4_NL and IQ4_XS are published with a matrix only). Other models differ in size, hardly in order.
_LOSS = {
    "F32": 0.0,
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
FOUR_BIT_LOSS = _LOSS["Q4_0"]  # `auto` goes below only when nothing else fits
_LARGEST_UNQUANTIZED = {"F32": 150_000_000, "F16": 600_000_000, "BF16": 600_000_000}  # weights


def quality_loss(recipe: str) -> float:
    """Rise in perplexity; a recipe that nobody measured counts as the worst."""
    return _LOSS.get(recipe, max(_LOSS.values()))


def best_first(recipes: Iterable[str]) -> list[str]:
    """The recipes by quality, the best first; equal ones by name."""
    return sorted(recipes, key=lambda recipe: (quality_loss(recipe), recipe))


def is_sensible(recipe: str, n_parameters: int) -> bool:
    """False for unquantized weights of a model that is not small."""
    return n_parameters <= _LARGEST_UNQUANTIZED.get(recipe, n_parameters)
