"""The models of a calibration exceed the caches, fit into memory, and stay small where caches are huge."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.formats.ggml_types import row_bytes
from edgellm_runtimes.calibrate.sizes import child_bytes, choose_shapes, last_cache_bytes
from edgellm_runtimes.calibrate.synthetic import Shape

MIB, GIB = 2**20, 2**30


def file_bytes(shape: Shape, type_name: str) -> int:
    return row_bytes(type_name, shape.n_weights)


@pytest.mark.parametrize(
    ("cache", "available", "width", "layers"),
    [
        pytest.param(2 * MIB, 350 * MIB, 1024, (3, 12), id="Raspberry Pi with 512 MB"),
        pytest.param(2 * MIB, 7 * GIB, 2048, (2, 16), id="Raspberry Pi with 8 GB"),
        pytest.param(None, 7 * GIB, 2048, (2, 16), id="unknown cache"),
        pytest.param(32 * MIB, 23 * GIB, 2048, (4, 32), id="EPYC"),
        pytest.param(384 * MIB, 128 * GIB, 2048, (8, 48), id="huge cache"),
        pytest.param(None, None, 2048, (2, 16), id="nothing known"),
    ],
)
def test_sizes_for_machines(cache: int | None, available: int | None, width: int, layers: tuple[int, int]) -> None:
    wide, narrow = choose_shapes(cache, available)
    assert (wide.n_embd, narrow.n_embd) == (width, 512)
    assert (wide.n_layers, narrow.n_layers) == layers


@pytest.mark.parametrize("cache", [MIB, 2 * MIB, 16 * MIB, 32 * MIB, 64 * MIB])
def test_with_enough_memory_the_smallest_type_exceeds_the_cache_three_times(cache: int) -> None:
    wide, narrow = choose_shapes(cache, 16 * GIB)
    assert file_bytes(wide, "Q4_0") >= max(3 * cache, 48 * MIB)
    assert file_bytes(narrow, "Q8_0") >= min(3 * cache, 144 * MIB)


@given(cache=st.none() | st.integers(0, 2**60), available=st.none() | st.integers(0, 2**60))
def test_no_machine_gets_models_that_take_its_memory_or_its_time(cache: int | None, available: int | None) -> None:
    for shape in choose_shapes(cache, available):
        assert shape.n_layers >= 1
        assert shape.n_embd % 256 == shape.n_ff % 256 == 0
        assert file_bytes(shape, "F16") < GIB
        if available is not None and available >= 128 * MIB:
            assert child_bytes(shape, "F16", False) <= available


def test_a_repacked_copy_counts() -> None:
    shape = Shape(n_embd=1024, n_ff=3072, n_layers=3)
    assert child_bytes(shape, "Q4_0", True) - child_bytes(shape, "Q4_0", False) == file_bytes(shape, "Q4_0")


def caches(root: Path, sizes: dict[str, bytes]) -> Path:
    """The caches of the first core as a kernel shows them."""
    for name, content in sizes.items():
        path = root / "sys/devices/system/cpu/cpu0/cache" / name / "size"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    return root


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"index0": b"64K\n", "index1": b"64K\n", "index2": b"512K\n", "index3": b"2048K\n"}, 2 * MIB),
        ({"index0": b"32K\n", "index2": b"1024K\n", "index3": b"32768K\n"}, 32 * MIB),
        ({"index0": b"48K\n", "index3": b"384M\n"}, 384 * MIB),
        ({"index0": b"65536\n"}, 65536),
        ({}, None),
    ],
)
def test_the_largest_cache_is_the_last_one(tmp_path: Path, sizes: dict[str, bytes], expected: int | None) -> None:
    assert last_cache_bytes(caches(tmp_path, sizes)) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"-5K",
        b"12G",
        b"1.5M",
        b"K",
        b"9999999999999999999M",
        b"2M extra",
        b"2M\n3M",
        b"\xff\xfe\0",
        b"0x40K",
    ],
)
def test_what_is_no_size_is_ignored(tmp_path: Path, content: bytes) -> None:
    assert last_cache_bytes(caches(tmp_path, {"index1": content})) is None
    assert last_cache_bytes(caches(tmp_path, {"index2": b"512K\n"})) == MIB // 2


def test_a_folder_or_a_loop_in_the_place_of_a_size_is_ignored(tmp_path: Path) -> None:
    caches(tmp_path, {"index0": b"32K\n"})
    folder = tmp_path / "sys/devices/system/cpu/cpu0/cache"
    (folder / "index1" / "size").mkdir(parents=True)
    (folder / "index2").mkdir()
    (folder / "index2" / "size").symlink_to("size")
    assert last_cache_bytes(tmp_path) == 32 << 10
