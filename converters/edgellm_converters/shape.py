"""The shape that a model will have after conversion: what the fit model needs, from headers alone."""

from __future__ import annotations

from collections.abc import Iterable

from edgellm.devices.model import AttentionLayer, ModelShape, TensorShape
from edgellm.formats.ggml_types import row_bytes
from edgellm.formats.gguf import GGUFHeader
from edgellm_converters.arch import EncoderHyper, Hyper, read_model
from edgellm_converters.arch.plan import TensorPlan
from edgellm_converters.checkpoint import Checkpoint
from edgellm_converters.recipes import ArchFacts, Recipe, tensor_types

__all__ = ["decoder_shape", "encoder_shape", "plan_types", "shape_of", "shape_of_gguf"]


def shape_of(checkpoint: Checkpoint, recipe: Recipe) -> ModelShape:
    """The shape of ``checkpoint`` after conversion to ``recipe``. No tensor data is read.

    ``context_length`` is the longest exact one: a sliding window that llama.cpp ignores caps it.
    """
    hyper, plans = read_model(checkpoint)
    types = tensor_types(recipe, plans, _facts(hyper))
    tensors = [TensorShape(plan.name, types[plan.name], plan.shape, _size(types[plan.name], plan)) for plan in plans]
    if isinstance(hyper, EncoderHyper):
        return encoder_shape(hyper, tensors, recipe.name, checkpoint.sentence.max_tokens)
    return decoder_shape(hyper, tensors, recipe.name, hyper.exact_context_length)


def encoder_shape(
    hyper: EncoderHyper, tensors: Iterable[TensorShape], recipe: str, max_tokens: int | None
) -> ModelShape:
    """The shape of an encoder, whose texts are cut at ``max_tokens`` where its makers say so."""
    return ModelShape(
        architecture=hyper.architecture,
        n_embd=hyper.n_embd,
        n_vocab=hyper.n_vocab,
        n_heads=hyper.n_heads,
        context_length=hyper.n_positions,
        usual_context=min(max_tokens or hyper.n_positions, hyper.n_positions),
        layers=(),
        tensors=tuple(tensors),
        recipe=recipe,
        is_encoder=True,
    )


def decoder_shape(hyper: Hyper, tensors: Iterable[TensorShape], recipe: str, context_length: int) -> ModelShape:
    """The shape of a decoder whose layers all look at the whole context."""
    layer = AttentionLayer(n_kv_heads=hyper.n_kv_heads, key_length=hyper.head_dim, value_length=hyper.head_dim)
    return ModelShape(
        architecture=hyper.architecture,
        n_embd=hyper.n_embd,
        n_vocab=hyper.n_vocab,
        n_heads=hyper.n_heads,
        context_length=context_length,
        layers=(layer,) * hyper.n_layers,
        tensors=tuple(tensors),
        recipe=recipe,
        is_encoder=not hyper.is_causal,
    )


def shape_of_gguf(header: GGUFHeader, recipe: Recipe) -> ModelShape:
    """The shape of a GGUF after requantization to ``recipe``. Raises UnsupportedError when that cannot be done."""
    from edgellm.devices.gguf_shape import shape_from_gguf
    from edgellm_converters.retype import requantized_header

    shape = shape_from_gguf(requantized_header(header, recipe))
    return ModelShape(**{field: getattr(shape, field) for field in shape.__struct_fields__} | {"recipe": recipe.name})


def plan_types(checkpoint: Checkpoint, recipe: Recipe) -> tuple[list[TensorPlan], dict[str, str]]:
    """The tensors of the result in llama.cpp's order, and the type of each."""
    hyper, plans = read_model(checkpoint)
    return plans, tensor_types(recipe, plans, _facts(hyper))


def _facts(hyper: Hyper | EncoderHyper) -> ArchFacts:
    n_kv_heads = hyper.n_heads if isinstance(hyper, EncoderHyper) else hyper.n_kv_heads
    return ArchFacts(hyper.architecture, hyper.n_layers, hyper.n_heads, n_kv_heads)


def _size(type_name: str, plan: TensorPlan) -> int:
    return row_bytes(type_name, plan.shape[0]) * (plan.n_elements // plan.shape[0])
