"""The mixes: more bits for the tensors that suffer most from few.

Rules of llama.cpp's ``llama_tensor_get_type_impl`` for the recipes we offer, without an importance matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgellm.formats.ggml_types import TYPES
from edgellm_converters.recipe_names import Category, HasRows

__all__ = ["ArchFacts", "Counts", "mixed_type"]

_V_LIKE = (Category.ATTENTION_V, Category.ATTENTION_QKV, Category.ATTENTION_KV_B)
_FIVE_BIT_OUTPUT_OF_EXPERTS = ("Q2_K", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ4_XS")
_EIGHT_BIT_AT_LEAST = {"glm5-next": ("attn_q_a", "attn_q_b", "nextn.eh_proj")}


@dataclass(frozen=True)
class ArchFacts:
    """What mixes ask about a model."""

    architecture: str  # GGUF general.architecture
    n_layers: int
    n_heads: int  # of the first layer, as n_kv_heads
    n_kv_heads: int
    n_experts: int = 0

    @property
    def group_size(self) -> int:
        """Attention heads that share one key-value head."""
        return self.n_heads // self.n_kv_heads if self.n_kv_heads else 0

    @property
    def is_70b(self) -> bool:
        """llama.cpp's size class with 8 times smaller v matrices."""
        if self.architecture == "llama":
            return self.n_layers == 80 and self.n_experts != 8 and self.n_heads != self.n_kv_heads
        return (self.architecture, self.n_layers) in (("qwen2", 80), ("deci", 80), ("olmo", 80), ("jais2", 68))


@dataclass
class Counts:
    """Tensors seen so far, in ``layer_order``."""

    n_attention_v: int
    tied: bool  # the output matrix is the embedding
    attention_v: int = 0
    ffn_down: int = 0


def mixed_type(recipe: str, default: str, category: Category, tensor: HasRows, facts: ArchFacts, counts: Counts) -> str:
    """The type that ``recipe`` gives to ``tensor``, before a look at its row length. Advances ``counts``."""
    if any(part in tensor.name for part in _EIGHT_BIT_AT_LEAST.get(facts.architecture, ())):
        return "Q8_0"
    if category is Category.OUTPUT or (counts.tied and category is Category.TOKEN_EMBEDDING):
        return _output(default, tensor, facts)
    if category in _V_LIKE:
        return _attention_v(recipe, default, facts, counts)
    if category is Category.ATTENTION_K and facts.n_experts == 8:
        return "Q8_0"
    if category is Category.FFN_DOWN:
        return _ffn_down(recipe, default, tensor.name, facts, counts)
    if category is Category.ATTENTION_OUTPUT:
        return _attention_output(recipe, default, facts)
    return default


def _more_bits(index: int, count: int) -> bool:
    """True for the first and the last eighth of the layers and every third one between."""
    return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2


def _output(default: str, tensor: HasRows, facts: ArchFacts) -> str:
    if facts.architecture == "falcon" or tensor.shape[0] % TYPES[default].block_size:
        return "Q8_0"
    return default if default == "Q8_0" else "Q6_K"


def _attention_v(recipe: str, default: str, facts: ArchFacts, counts: Counts) -> str:
    index = counts.attention_v
    counts.attention_v += 1
    chosen = default
    if recipe == "Q2_K":
        chosen = "Q4_K" if facts.group_size >= 4 else "Q3_K"
    elif recipe == "Q3_K_M":
        chosen = "Q5_K" if index < 2 else "Q4_K"
    elif recipe == "Q3_K_L" or (recipe in ("IQ4_NL", "IQ4_XS") and facts.group_size >= 4):
        chosen = "Q5_K"
    elif recipe in ("Q4_K_M", "Q5_K_M") and _more_bits(index, counts.n_attention_v):
        chosen = "Q6_K"
    elif recipe == "Q4_K_S" and index < 4:
        chosen = "Q5_K"
    if facts.is_70b and chosen in ("Q3_K", "Q4_K"):
        chosen = "Q5_K"
    return "Q8_0" if facts.n_experts == 8 else chosen


def _ffn_down(recipe: str, default: str, name: str, facts: ArchFacts, counts: Counts) -> str:
    index, count = counts.ffn_down, facts.n_layers
    counts.ffn_down += 1
    if facts.n_experts > 1:
        index = _layer_of(name)
    falcon = facts.architecture == "falcon"
    early = index < count // 8
    if recipe == "Q2_K":
        return "Q3_K"
    if recipe == "Q3_K_M":
        if index < count // 16:
            return "Q5_K"
        return "Q4_K" if not falcon or _more_bits(index, count) else "Q3_K"
    if recipe == "Q3_K_L":
        return "Q4_K" if falcon else "Q5_K"
    if recipe == "Q4_K_M" and falcon:
        if index < count // 16:
            return "Q6_K"
        return "Q5_K" if _more_bits(index, count) else "Q4_K"
    if recipe in ("Q4_K_M", "Q5_K_M") and _more_bits(index, count):
        return "Q6_K"
    if (recipe in ("IQ4_NL", "IQ4_XS") or (recipe == "Q4_K_S" and not falcon)) and early:
        return "Q5_K"
    return default


def _layer_of(name: str) -> int:
    parts = name.split(".", 2)
    return int(parts[1]) if len(parts) == 3 and parts[0] == "blk" and parts[1].isdecimal() else 0


def _attention_output(recipe: str, default: str, facts: ArchFacts) -> str:
    if facts.architecture == "falcon":
        return "Q4_K" if recipe == "Q3_K_L" else default
    if facts.n_experts == 8:
        return "Q5_K" if recipe in _FIVE_BIT_OUTPUT_OF_EXPERTS else default
    return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(recipe, default)
