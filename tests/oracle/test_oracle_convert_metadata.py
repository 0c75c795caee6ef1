"""Our GGUF against convert_hf_to_gguf.py: the same metadata and the same tensors, but for what is listed here."""

from __future__ import annotations

from pathlib import Path

import pytest
from convert_cases import CASES, make_checkpoint, old_style_config, pack, reference_convert

from edgellm.formats.gguf import GGUFHeader, read_header
from edgellm_converters.gguf.differences import JUSTIFIED_DIFFERENCES

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with <case>.ref.gguf (theirs) and <case>.gguf (ours) in F32 for every case."""
    root = tmp_path_factory.mktemp("cases")
    for case in CASES:
        make_checkpoint(case, root / case)
    reference_convert([(root / case, "f32", root / f"{case}.ref.gguf") for case in CASES])
    for case in CASES:
        pack(root / case, "F32", root / f"{case}.gguf")
    return root


def metadata(header: GGUFHeader) -> dict[str, tuple[str, object]]:
    return {key: (header.types[key], value) for key, value in header.metadata.items()}


def differences(ours: GGUFHeader, theirs: GGUFHeader) -> set[str]:
    left, right = metadata(ours), metadata(theirs)
    architecture = ours.architecture
    keys = {key for key in left.keys() | right.keys() if left.get(key) != right.get(key)}
    return {
        key.replace(f"{architecture}.", "{arch}.", 1) if key.startswith(f"{architecture}.") else key for key in keys
    }


def tensor_bytes(path: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    header, data = read_header(path), path.read_bytes()
    return {
        tensor.name: (tensor.type, tensor.shape, data[tensor.offset_bytes : tensor.offset_bytes + tensor.size_bytes])
        for tensor in header.tensors
    }


@pytest.mark.parametrize("case", CASES)
def test_metadata_equals_the_reference(converted: Path, case: str) -> None:
    ours, theirs = read_header(converted / f"{case}.gguf"), read_header(converted / f"{case}.ref.gguf")
    assert differences(ours, theirs) <= set(JUSTIFIED_DIFFERENCES)


@pytest.mark.parametrize("case", CASES)
def test_f32_tensors_equal_the_reference(converted: Path, case: str) -> None:
    ours, theirs = tensor_bytes(converted / f"{case}.gguf"), tensor_bytes(converted / f"{case}.ref.gguf")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


@pytest.mark.parametrize("case", ["llama-yarn", "llama-llama3", "llama", "qwen3-yarn"])
def test_configs_of_transformers_4_give_the_same_file(converted: Path, case: str, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / case
    shutil.copytree(converted / case, folder)
    old_style_config(folder)
    pack(folder, "F32", tmp_path / "old.gguf")
    assert (tmp_path / "old.gguf").read_bytes() == (converted / f"{case}.gguf").read_bytes()


@pytest.mark.parametrize("outtype", ["f32", "bf16"])
@pytest.mark.parametrize("model", ["tiny-llm", "stories260k"])
def test_trained_checkpoints_equal_the_reference(
    model: str, outtype: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if model == "tiny-llm":
        folder = request.getfixturevalue("tiny_llm")
    else:
        folder = request.getfixturevalue("shared_dir") / "models" / model
    reference_convert([(folder, outtype, tmp_path / "ref.gguf")])
    pack(folder, outtype.upper(), tmp_path / "ours.gguf")
    ours, theirs = read_header(tmp_path / "ours.gguf"), read_header(tmp_path / "ref.gguf")
    assert differences(ours, theirs) <= set(JUSTIFIED_DIFFERENCES)
    assert tensor_bytes(tmp_path / "ours.gguf") == tensor_bytes(tmp_path / "ref.gguf")
