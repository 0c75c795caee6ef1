"""Quantized ONNX graphs against the same weights as plain numbers, quantized and restored by numpy, in transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convert_cases import make_checkpoint
from numpy.typing import NDArray

import int_blocks_reference as reference
from edgellm_converters.onnx.blocks import dequantize_blocks, quantize
from edgellm_converters.onnx.encoding import Encoding, Form
from edgellm_converters.onnx.recipes import get_onnx_recipe
from onnx_models import GraphRun, log_softmax, write_model

pytestmark = pytest.mark.oracle

N_TOKENS = 96
EXACT_TOLERANCE = 5e-3  # accuracy level 0 multiplies floats: the weights alone are rounded
DYNAMIC_DIVERGENCE = 0.01  # a number between two levels may go to the other one, which random weights amplify
INT8_TOLERANCE = 0.01  # accuracy level 4 rounds the activations as well
CASES = ["llama-tied", "llama-biases", "mistral-head-dim", "qwen2", "qwen3-tied", "smollm3"]
RECIPES = ["INT4_32", "INT4_32_SYM", "INT4_64_M", "INT4_128", "INT4_128_M_SYM", "INT8_128", "INT8_DYNAMIC"]
ROW_LIMIT = 64  # largest level of a row with one scale


def restored(values: NDArray[np.float32], encoding: Encoding) -> NDArray[np.float32]:
    """What a matrix becomes when it is quantized: every number of it."""
    if encoding.form is Form.COLUMNS:
        scales = np.abs(values).max(axis=1, keepdims=True) / np.float32(ROW_LIMIT)
        return np.asarray(np.rint(values / scales) * scales, np.float32)
    encoding = encoding.fitted(values.shape[1])
    levels, scales, *zeros = reference.quantize(values, encoding.block_size, encoding.bits, encoding.symmetric)
    return dequantize_blocks(levels, scales, zeros[0] if zeros else None, encoding, values.shape[1])


def restore_weights(model: Any, recipe_name: str) -> None:
    """Put the restored weights into a model of transformers."""
    import torch

    from edgellm_converters.onnx.recipes import matrix_encodings

    recipe = get_onnx_recipe(recipe_name)
    n_layers = model.config.num_hidden_layers
    roles = {"self_attn.q_proj": "attn_qkv", "self_attn.k_proj": "attn_qkv", "self_attn.v_proj": "attn_qkv",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down"}  # fmt: skip
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() != 2:
                continue
            gguf = "token_embd.weight" if "embed" in name else "output.weight"
            if ".layers." in name:
                _, _, layer, module = name.removesuffix(".weight").split(".", 3)
                gguf = f"blk.{layer}.{roles[module]}.weight"
            encoding = matrix_encodings(recipe, {gguf: parameter.shape[1]}, n_layers)[gguf]
            parameter.copy_(torch.from_numpy(restored(parameter.detach().numpy(), encoding)))


def round_activations(model: Any) -> None:
    """Round what goes into each matrix of the layers as DynamicQuantizeMatMul does: to 256 levels of its whole range,
    0 among them."""
    import torch

    def rounded(_module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        values = inputs[0]
        low, high = values.min().clamp(max=0), values.max().clamp(min=0)
        scale = (high - low) / 255
        zero = torch.round(-low / scale).clamp(0, 255)
        return (((torch.round(values / scale) + zero).clamp(0, 255) - zero) * scale,)

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and ".layers." in name:
            module.register_forward_pre_hook(rounded)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("case", CASES)
def test_quantized_graphs_compute_with_the_restored_weights(case: str, recipe: str, tmp_path: Path) -> None:
    import torch

    model = make_checkpoint(case, tmp_path / case, seed=5)
    exact = write_model(tmp_path / case, tmp_path / "exact", recipe, accuracy=0)
    fast = write_model(tmp_path / case, tmp_path / "fast", recipe)
    restore_weights(model, recipe)
    is_dynamic = recipe == "INT8_DYNAMIC"  # whose operator rounds activations whatever the level
    if is_dynamic:
        round_activations(model)
    tokens = np.random.default_rng(3).integers(3, 8192, N_TOKENS).tolist()
    with torch.no_grad():
        expected = log_softmax(model(torch.tensor([tokens])).logits[0].numpy())
    difference = np.abs(log_softmax(GraphRun(exact).logits(tokens)) - expected).max()
    rounded = log_softmax(GraphRun(fast).logits(tokens))
    divergence = float((np.exp(expected) * (expected - rounded)).sum(-1).mean())
    print(
        f"{case} {recipe}: level 0 max |difference of log-probabilities| {difference:.2e}; level 4 max "
        f"{np.abs(rounded - expected).max():.2e}, mean divergence {divergence:.2e}"
    )
    if is_dynamic:
        assert divergence < DYNAMIC_DIVERGENCE
        return
    assert difference < EXACT_TOLERANCE
    assert divergence < 0.1, "rounded activations cost little; random weights amplify what they cost"


@pytest.mark.parametrize("n_rows", [1, 5, 64])
def test_one_product_with_a_scale_for_each_row_is_within_a_percent(n_rows: int) -> None:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(11)
    length, width = 768, 320
    encoding = Encoding(Form.COLUMNS, 8)
    weights = rng.standard_normal((width, length), np.float32) * np.float32(0.02)
    values = rng.standard_normal((n_rows, length), np.float32)
    levels, scales = quantize(weights, encoding)
    node = helper.make_node(
        "DynamicQuantizeMatMul", ["values", "levels", "scales"], ["product"], domain="com.microsoft"
    )
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["rows", length])],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, ["rows", width])],
        [
            numpy_helper.from_array(np.ascontiguousarray(levels.T), "levels"),
            numpy_helper.from_array(scales, "scales"),
        ],
    )
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, ir_version=11, opset_imports=opsets)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"values": values})[0]
    expected = values @ restored(weights, encoding).T
    error = np.sqrt(np.square(found - expected).mean() / np.square(expected).mean())
    assert error < INT8_TOLERANCE


@pytest.mark.parametrize("n_rows", [1, 5, 64])
@pytest.mark.parametrize("block_size", [32, 64, 128])
@pytest.mark.parametrize(("bits", "symmetric"), [(4, True), (4, False), (8, True)])
def test_one_product_is_within_a_percent(bits: int, symmetric: bool, block_size: int, n_rows: int) -> None:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(block_size + bits)
    length, width = 768, 320
    weights = rng.standard_normal((width, length), np.float32) * np.float32(0.02)
    values = rng.standard_normal((n_rows, length), np.float32)
    encoding = Encoding(Form.BLOCKS, bits, block_size, symmetric)
    parts = reference.quantize(weights, block_size, bits, symmetric)
    names = ["levels", "scales", "zeros"][: len(parts)]
    node = helper.make_node(
        "MatMulNBits", ["values", *names], ["product"], domain="com.microsoft", K=length, N=width, bits=bits,
        block_size=block_size, accuracy_level=4,
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["rows", length])],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, ["rows", width])],
        [numpy_helper.from_array(part, name) for part, name in zip(parts, names, strict=True)],
    )
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, ir_version=11, opset_imports=opsets)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"values": values})[0]
    plain = dequantize_blocks(parts[0], parts[1], parts[2] if len(parts) > 2 else None, encoding, length)
    expected = values @ plain.T
    error = np.sqrt(np.square(found - expected).mean() / np.square(expected).mean())
    assert error < INT8_TOLERANCE
