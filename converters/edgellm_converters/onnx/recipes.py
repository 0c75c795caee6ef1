"""Recipes of ONNX models: how each matrix is stored. A name says what its recipe is.

``INT4_32`` stores every matrix in 4 bits, in blocks of 32 numbers with a scale and a zero point each; ``_SYM`` leaves
the zero points out; ``_M`` stores the matrices whose errors weigh most in 8 bits. A head of 4 bits has blocks of 32 in
every recipe: its errors weigh more than those of a layer. ``INT8_128`` stores all in 8 bits.
``INT8_DYNAMIC`` has one scale for each row and rounds the activations as a whole: the fastest way through a prompt. The
feed-forward of an encoder stays in blocks there: what goes into it has channels many times as large as the others, and
after GELU numbers of one sign, which one scale for all of a call rounds too coarsely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgellm.errors import UsageError
from edgellm_converters.onnx.encoding import FLOAT32, Encoding, Form

__all__ = ["ONNX_RECIPES", "OnnxRecipe", "get_onnx_recipe", "matrix_encodings"]

_BYTES = Encoding(Form.BLOCKS, 8, 128)
_COLUMNS = Encoding(Form.COLUMNS, 8)
_NIBBLE_HEAD = Encoding(Form.BLOCKS, 4, 32)
_HEAD = ("token_embd.weight", "output.weight")


@dataclass(frozen=True)
class OnnxRecipe:
    """One recipe. ``head``: of the embedding and the output matrix; ``sensitive``: see ``_is_sensitive``;
    ``encoder_ffn``: of the feed-forward of encoders, where it is stored otherwise.

    A head in blocks is symmetric: GatherBlockQuantized wants zero points of 4 bits in another order than MatMulNBits.
    """

    name: str
    layers: Encoding
    head: Encoding
    sensitive: Encoding
    encoder_ffn: Encoding | None = None


def _table() -> Iterable[OnnxRecipe]:
    yield OnnxRecipe("FP32", FLOAT32, FLOAT32, FLOAT32)
    yield OnnxRecipe("INT8_128", _BYTES, _BYTES, _BYTES)
    yield OnnxRecipe("INT8_DYNAMIC", _COLUMNS, _BYTES, _COLUMNS, encoder_ffn=_BYTES)
    for block_size in (32, 64, 128):
        for suffix, symmetric in (("", False), ("_SYM", True)):
            nibbles = Encoding(Form.BLOCKS, 4, block_size, symmetric)
            yield OnnxRecipe(f"INT4_{block_size}_M{suffix}", nibbles, _BYTES, _BYTES)
            yield OnnxRecipe(f"INT4_{block_size}{suffix}", nibbles, _NIBBLE_HEAD, nibbles)


ONNX_RECIPES: Mapping[str, OnnxRecipe] = MappingProxyType({recipe.name: recipe for recipe in _table()})


def get_onnx_recipe(name: str) -> OnnxRecipe:
    """The recipe called ``name`` (any case). Raises UsageError naming them all."""
    recipe = ONNX_RECIPES.get(name.upper())
    if recipe is None:
        raise UsageError(f"there is no ONNX recipe {name[:40]!r}", hint=f"recipes: {', '.join(ONNX_RECIPES)}")
    return recipe


def matrix_encodings(
    recipe: OnnxRecipe, row_lengths: Mapping[str, int], n_layers: int, *, is_encoder: bool = False
) -> dict[str, Encoding]:
    """How each matrix is stored; ``row_lengths``: GGUF names, q, k and v as ``attn_qkv``."""
    return {name: _encoding(recipe, name, n_layers, is_encoder).fitted(length) for name, length in row_lengths.items()}


def _encoding(recipe: OnnxRecipe, name: str, n_layers: int, is_encoder: bool) -> Encoding:
    if name in _HEAD:
        return recipe.head
    if not name.startswith("blk."):  # positions and types of an encoder: small, and added to everything
        return FLOAT32
    _, layer, role, _ = name.split(".")
    if is_encoder and recipe.encoder_ffn is not None and role in ("ffn_up", "ffn_down"):
        return recipe.encoder_ffn
    return recipe.sensitive if _is_sensitive(role, int(layer), n_layers) else recipe.layers


def _is_sensitive(role: str, layer: int, n_layers: int) -> bool:
    """Values and ffn_down, in the first and last eighth of the layers and in every third between.

    The same as in llama.cpp's mixes: use_more_bits in src/llama-quant.cpp.
    """
    if role not in ("attn_qkv", "ffn_down"):
        return False
    eighth = n_layers // 8
    return layer < eighth or layer >= 7 * n_layers // 8 or (layer - eighth) % 3 == 2
