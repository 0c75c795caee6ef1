"""ONNX graphs read and changed without the onnx package, which is the judge of both."""

from __future__ import annotations

import contextlib
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgellm.errors import ModelFileError
from edgellm.formats.onnx_graph import check_data, point_at, read_graph

OPTIONAL = ("query_lens", "logits_indices", "logits_count")


def test_tensors_inputs_and_metadata_are_what_the_onnx_package_reads(tiny_onnx: Path) -> None:
    _data, graph = read_graph(tiny_onnx)
    model = onnx.load(tiny_onnx, load_external_data=False)
    assert list(graph.tensors) == [tensor.name for tensor in model.graph.initializer]
    for tensor in model.graph.initializer:
        found = graph.tensors[tensor.name]
        external = {entry.key: entry.value for entry in tensor.external_data}
        assert (found.type, found.shape) == (tensor.data_type, tuple(tensor.dims))
        assert found.location == external.get("location", "")
        if external:
            assert (found.offset_bytes, found.length_bytes) == (int(external["offset"]), int(external["length"]))
    assert list(graph.inputs) == [value.name for value in model.graph.input]
    assert list(graph.outputs) == [value.name for value in model.graph.output]
    assert graph.inputs["past_key_values.0.key"].shape[1::2] == (4, 32)
    assert graph.metadata == {entry.key: entry.value for entry in model.metadata_props}
    assert graph.opsets == {entry.domain: entry.version for entry in model.opset_import}
    assert {name.rpartition(".")[2] for name in graph.operators} == {node.op_type for node in model.graph.node}
    assert graph.data_bytes() == tiny_onnx.with_name("model.onnx.data").stat().st_size


def test_only_places_and_defaults_change(tiny_onnx: Path) -> None:
    data, _graph = read_graph(tiny_onnx)
    changed = onnx.load_from_string(point_at(data, "elsewhere", OPTIONAL))
    model = onnx.load(tiny_onnx, load_external_data=False)
    for tensor in list(model.graph.initializer):
        if tensor.name in OPTIONAL:
            model.graph.initializer.remove(tensor)
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "elsewhere"
    assert changed == model


def test_a_data_file_that_is_too_short_is_told_from_the_graph(tiny_onnx: Path) -> None:
    _data, graph = read_graph(tiny_onnx)
    check_data(graph, graph.data_bytes(), "weights")
    with pytest.raises(ModelFileError, match="cut off"):
        check_data(graph, graph.data_bytes() - 1, "weights")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(position=st.floats(0, 1), value=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_graph_is_read_or_refused_and_nothing_else(
    tiny_onnx: Path, tmp_path: Path, position: float, value: int, cut: bool
) -> None:
    data = bytearray(tiny_onnx.read_bytes())
    place = int(position * (len(data) - 1))
    if cut:
        del data[place:]
    else:
        data[place] = value
    path = tmp_path / "damaged.onnx"
    path.write_bytes(data)
    with contextlib.suppress(ModelFileError):
        read, _graph = read_graph(path)
        point_at(read, "elsewhere", OPTIONAL)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bytes.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelFileError):
        read_graph(path)


def test_graphs_that_lie_too_deep_in_each_other_are_refused(tmp_path: Path) -> None:
    inner = onnx.helper.make_graph([], "inner", [], [])
    for _ in range(20):
        node = onnx.helper.make_node("If", ["c"], ["o"], then_branch=inner)
        inner = onnx.helper.make_graph([node], "inner", [], [])
    path = tmp_path / "deep.onnx"
    path.write_bytes(onnx.helper.make_model(inner).SerializeToString())
    with pytest.raises(ModelFileError, match="too deep"):
        read_graph(path)
