"""Opening a checkpoint: real ones, and everything that can be wrong with one."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkpoint_maker import CONFIG, ITEM_BYTES, decode, encode, make, tensors_of, write_safetensors
from edgellm.errors import CheckpointError, EdgeLLMError, NotFoundError, UnsupportedError
from edgellm_converters.arch import get_family
from edgellm_converters.checkpoint import open_checkpoint


def index_of(folder: Path) -> Path:
    return folder / "model.safetensors.index.json"


def edit_index(folder: Path, **changes: Any) -> None:
    index = json.loads(index_of(folder).read_text())
    index["weight_map"].update(changes)
    index_of(folder).write_text(json.dumps(index))


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("shards", [1, 3])
def test_rows_are_read_as_float32(tmp_path: Path, dtype: str, shards: int) -> None:
    weights = make(tmp_path, dtype=dtype, shards=shards)
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.tensors.keys() == weights.keys()
        for name, values in weights.items():
            expected = decode(encode(values, dtype), dtype).reshape(values.shape)
            if values.ndim == 1:
                np.testing.assert_array_equal(checkpoint.read_rows(name, 0, 1)[0], expected)
            else:
                np.testing.assert_array_equal(checkpoint.read_rows(name, 3, 5), expected[3:8])


def test_mixed_dtypes(tmp_path: Path) -> None:
    weights = tensors_of(CONFIG)
    dtypes = {name: list(ITEM_BYTES)[number % 3] for number, name in enumerate(weights)}
    make(tmp_path, dtype=dtypes, tensors=weights)
    with open_checkpoint(tmp_path) as checkpoint:
        assert {tensor.dtype for tensor in checkpoint.tensors.values()} == set(ITEM_BYTES)


def test_files_are_those_the_result_depends_on(tmp_path: Path) -> None:
    make(tmp_path, shards=2)
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "training.log").write_text("")
    with open_checkpoint(tmp_path) as checkpoint:
        assert list(checkpoint.files()) == [
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json",
        ]


def test_shards_without_their_index(tmp_path: Path) -> None:
    make(tmp_path, shards=2)
    index_of(tmp_path).unlink()
    with open_checkpoint(tmp_path) as checkpoint:
        assert len(checkpoint.tensors) == len(tensors_of(CONFIG))
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00001-of-00002\.safetensors of 2 shards missing"):
        open_checkpoint(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    make(tmp_path, shards=3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match="model-00002-of-00003"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "target", ["../model.safetensors", "/etc/passwd", "sub/model.safetensors", "..", "", "a\0b", "..\\model"]
)
def test_a_weight_map_that_leaves_the_folder_is_refused(tmp_path: Path, target: str) -> None:
    folder = tmp_path / "checkpoint"
    make(folder, shards=2)
    write_safetensors(tmp_path / "model.safetensors", {"model.norm.weight": np.ones(64, np.float32)})
    edit_index(folder, **{"model.norm.weight": target})
    with pytest.raises(CheckpointError):
        open_checkpoint(folder)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere")
    make(tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "model.safetensors").unlink()
    (tmp_path / "checkpoint" / "model.safetensors").symlink_to("../elsewhere/model.safetensors")
    with pytest.raises(CheckpointError, match="link that leaves the folder"):
        open_checkpoint(tmp_path / "checkpoint")


def test_the_links_of_the_hub_cache_are_followed(tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "snapshots" / "abc", tmp_path / "blobs"
    make(snapshot)
    blobs.mkdir()
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).rename(blobs / name)
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    with open_checkpoint(snapshot) as checkpoint:
        assert checkpoint.tensors


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path, name: str) -> None:
    make(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match="not a file"):
        open_checkpoint(tmp_path)


def test_an_index_that_disagrees_with_its_shards_is_refused(tmp_path: Path) -> None:
    make(tmp_path, shards=2)
    first, second = (f"model-0000{number}-of-00002.safetensors" for number in (1, 2))
    index = json.loads(index_of(tmp_path).read_text())["weight_map"]
    name = next(name for name, shard in index.items() if shard == first)
    edit_index(tmp_path, **{name: second})
    with pytest.raises(CheckpointError, match="does not hold"):
        open_checkpoint(tmp_path)
    edit_index(tmp_path, **{name: first, "ghost": second})
    with pytest.raises(CheckpointError, match="'ghost'"):
        open_checkpoint(tmp_path)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    weights = make(tmp_path, shards=2)
    write_safetensors(tmp_path / "model-00002-of-00002.safetensors", weights)
    with pytest.raises(CheckpointError, match="both in"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 3}}', "{", "\udcff"])
def test_a_broken_index_is_refused(tmp_path: Path, index: str) -> None:
    make(tmp_path, shards=2)
    index_of(tmp_path).write_bytes(index.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError):
        open_checkpoint(tmp_path)


class Bomb:
    """Unpickling it would create a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (self.path, "w"))


def test_pickled_weights_are_explained_and_never_loaded(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    trace = tmp_path / "executed"
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(str(trace))))
    with pytest.raises(UnsupportedError, match="pickle") as caught:
        open_checkpoint(tmp_path)
    assert "save_pretrained" in (caught.value.hint or "")
    assert not trace.exists()


def test_no_weights_at_all(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        open_checkpoint(tmp_path)


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="cut off"):
        open_checkpoint(tmp_path)


def test_missing_folder_and_missing_config(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        open_checkpoint(tmp_path / "absent")
    with pytest.raises(NotFoundError, match=r"config\.json"):
        open_checkpoint(tmp_path)


def test_an_already_quantized_checkpoint_is_refused(tmp_path: Path) -> None:
    make(tmp_path, CONFIG | {"quantization_config": {"quant_method": "gptq"}}, tensors=tensors_of(CONFIG))
    with pytest.raises(UnsupportedError, match="gptq"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("config", ["[1]", "{", "null", "[" * 100_000, "NaN"])
def test_a_broken_config_is_refused(tmp_path: Path, config: str) -> None:
    make(tmp_path)
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(CheckpointError):
        open_checkpoint(tmp_path)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.just([]),
    st.just({}),
    st.just(10**400),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.dictionaries(
        st.sampled_from([*CONFIG, "head_dim", "rope_theta", "rope_scaling", "rope_parameters", "sliding_window",
                         "hidden_act", "attention_bias", "layer_types", "no_rope_layers", "use_sliding_window"]),
        VALUES, min_size=1, max_size=3,
    ),
    model_type=st.sampled_from(["llama", "mistral", "qwen2", "qwen3", "smollm3"]),
)  # fmt: skip
def test_hostile_configs_raise_only_our_errors(changes: dict[str, Any], model_type: str) -> None:
    config = CONFIG | {"model_type": model_type, "architectures": None} | changes
    try:
        get_family(config).parse(config)
    except EdgeLLMError:
        return


@settings(max_examples=150, deadline=None)
@given(
    rope=st.dictionaries(
        st.sampled_from(["rope_type", "type", "factor", "rope_theta", "attention_factor", "low_freq_factor", "mscale",
                         "high_freq_factor", "original_max_position_embeddings", "beta_fast", "mscale_all_dim"]),
        st.one_of(VALUES, st.sampled_from(["linear", "yarn", "llama3", "dynamic", 0, -1, 1e-300, 1e300])),
    )
)  # fmt: skip
def test_hostile_rope_sections_raise_only_our_errors(rope: dict[str, Any]) -> None:
    config = CONFIG | {"rope_scaling": rope}
    try:
        family = get_family(config)
        family.gguf_metadata(family.parse(config))
    except EdgeLLMError:
        return
