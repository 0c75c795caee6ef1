"""The ONNX backend where its files and its library have rules of their own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from backends import open_backend, write_onnx_folder
from edgellm.errors import ModelFileError, UnsupportedError, UsageError
from edgellm.progress import SilentProgress
from edgellm_runtimes.backend import BackendSettings, DecodeAbortedError, TokenSlice
from edgellm_runtimes.onnx import library as library_module
from edgellm_runtimes.onnx.model import OnnxBackend

SETTINGS = BackendSettings(
    context=128, sequences=2, batch=64, ubatch=64, kv_type_k="f32", kv_type_v="f32", shared_cells=False
)
TOKENS = [40, 408, 1944, 14, 505, 298]


class Notes(SilentProgress):
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture
def folder(tiny_onnx: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may damage."""
    return Path(shutil.copytree(tiny_onnx.parent, tmp_path / "model"))


def rows_of(path: Path, **options: Any) -> np.ndarray:
    backend = OnnxBackend(path, SETTINGS, **options)
    try:
        return backend.decode([TokenSlice(0, TOKENS)]).copy()
    finally:
        backend.close()


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize("name", ["model.onnx.data", "genai_config.json", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelFileError, match=f"{name}.* missing"):
        rows_of(folder / "model.onnx")


def test_weights_that_are_cut_off_are_refused_before_the_library_sees_them(folder: Path) -> None:
    with (folder / "model.onnx.data").open("r+b") as file:
        file.truncate(1_000_000)
    with pytest.raises(ModelFileError, match="cut off, or belongs to another graph"):
        rows_of(folder / "model.onnx")


def test_weights_of_another_model_are_refused(folder: Path, tiny_llm: Path, tmp_path: Path) -> None:
    other = write_onnx_folder(tiny_llm, tmp_path / "other", "INT8_128")
    larger = (folder / "model.onnx.data").read_bytes() + bytes(4096)
    (folder / "model.onnx.data").write_bytes(larger)
    with pytest.raises(ModelFileError, match="do not belong together"):
        rows_of(folder / "model.onnx")
    blobs = tmp_path / "sha256"  # files by their digests, as a store has them
    blobs.mkdir()
    data = blobs / ("a" * 64)
    shutil.copyfile(other.parent / "model.onnx.data", data)
    files = {path.name: path for path in other.parent.iterdir()} | {"model.onnx.data": data}
    with pytest.raises(ModelFileError, match="do not belong together"):
        rows_of(other, files=files)


def test_weights_of_the_same_size_from_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    """A model that was trained on has files of the same sizes."""
    data = folder / "model.onnx.data"
    with data.open("r+b") as file:
        file.seek(100_000)
        byte = file.read(1)[0]
        file.seek(100_000)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(ModelFileError, match="do not belong together"):
        rows_of(folder / "model.onnx")
    with pytest.raises(ModelFileError, match="do not belong together"):
        rows_of(folder / "model.onnx", prepared=tmp_path / "prepared")
    assert not (tmp_path / "prepared").exists(), "nothing is prepared from it"


def test_nothing_is_prepared_from_a_damaged_blob(folder: Path, tmp_path: Path) -> None:
    """What is prepared would outlive the repair of the blob: both have the same digest."""
    data = folder / "model.onnx.data"
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    (tmp_path / "sha256").mkdir()
    blob = tmp_path / "sha256" / digest
    damaged = bytearray(data.read_bytes())
    damaged[100_000] ^= 1
    blob.write_bytes(damaged)
    files = {path.name: path for path in folder.iterdir()} | {"model.onnx.data": blob}
    with pytest.raises(ModelFileError, match="do not belong together") as caught:
        rows_of(folder / "model.onnx", files=files, prepared=tmp_path / "prepared")
    assert "edgellm verify" in (caught.value.hint or "")
    assert not (tmp_path / "prepared").exists()
    shutil.copyfile(data, blob)
    assert np.array_equal(
        rows_of(folder / "model.onnx", files=files, prepared=tmp_path / "prepared"), rows_of(folder / "model.onnx")
    )


def test_a_config_of_another_model_is_refused(folder: Path) -> None:
    config = folder / "genai_config.json"
    edit_json(config, lambda values: values["model"]["decoder"].update(num_key_value_heads=2))
    with pytest.raises(ModelFileError, match="do not belong together"):
        rows_of(folder / "model.onnx")
    edit_json(config, lambda values: values["model"]["decoder"].update(num_key_value_heads=4, head_size=-1))
    with pytest.raises(ModelFileError, match="impossible numbers"):
        rows_of(folder / "model.onnx")
    edit_json(config, lambda values: values["model"].pop("decoder"))
    with pytest.raises(ModelFileError, match="decoder"):
        rows_of(folder / "model.onnx")


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    edit_json(folder / "tokenizer.json", lambda values: values["added_tokens"].append(
        {"id": 9000, "content": "<x>", "special": True, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False}
    ))  # fmt: skip
    with pytest.raises(ModelFileError, match=r"tokenizer"):
        rows_of(folder / "model.onnx")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelFileError, match=r"tokenizer\.json"):
        rows_of(folder / "model.onnx")


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x08"])
def test_what_is_no_graph_is_named(folder: Path, data: bytes) -> None:
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(ModelFileError, match="no ONNX model, or is damaged"):
        rows_of(folder / "model.onnx")


def test_a_graph_that_ends_early_is_an_error_at_every_length(folder: Path) -> None:
    whole = (folder / "model.onnx").read_bytes()
    for length in range(0, len(whole) - 1, len(whole) // 40):
        (folder / "model.onnx").write_bytes(whole[:length])
        with pytest.raises((ModelFileError, UnsupportedError)):
            rows_of(folder / "model.onnx")


def test_a_model_that_edgellm_did_not_pack_is_told_apart(folder: Path) -> None:
    import onnx

    model = onnx.load(folder / "model.onnx", load_external_data=False)
    kept = [value for value in model.graph.input if value.name != "query_lens"]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError, match="query_lens"):
        rows_of(folder / "model.onnx")


def test_tensors_elsewhere_on_the_disk_are_refused(folder: Path) -> None:
    import onnx

    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../model/model.onnx.data"
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError, match="one file beside it"):
        rows_of(folder / "model.onnx")


def test_an_operator_that_the_library_lacks_is_named(folder: Path) -> None:
    import onnx

    model = onnx.load(folder / "model.onnx", load_external_data=False)
    node = next(node for node in model.graph.node if node.op_type == "GroupQueryAttention")
    node.op_type = "WarpAttention"
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError, match="WarpAttention"):
        rows_of(folder / "model.onnx")


def test_an_old_library_is_refused_with_the_command_that_updates_it(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_module, "MINIMUM_VERSION", (99, 0))
    monkeypatch.setattr(library_module, "_library", None)
    with pytest.raises(UnsupportedError, match=r"99\.0 or newer") as caught:
        rows_of(tiny_onnx)
    assert "pip install --upgrade" in (caught.value.hint or "")


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_without_the_extra_the_error_says_how_to_install_it(tiny_onnx: Path, package: str) -> None:
    code = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"
        "from pathlib import Path\n"
        "from edgellm.errors import UnsupportedError\n"
        "from edgellm_runtimes.load import LoadRequest, load_backend\n"
        "try:\n"
        f"    load_backend(LoadRequest(model_path=Path({str(tiny_onnx)!r}), context=64))\n"
        "except UnsupportedError as error:\n"
        "    print(error.message, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert "edgellm[onnx]" in done.stdout


def test_nothing_is_sent_anywhere(tiny_onnx: Path) -> None:
    """ONNX Runtime asks the variable when it is imported."""
    code = (
        "import os\n"
        "from edgellm_runtimes.onnx.library import library\n"
        "os.environ.pop('ORT_DISABLE_TELEMETRY', None)\n"
        "seen = []\n"
        "import builtins\n"
        "real = builtins.__import__\n"
        "def watch(name, *rest):\n"
        "    if name == 'onnxruntime' and not seen:\n"
        "        seen.append(os.environ.get('ORT_DISABLE_TELEMETRY'))\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = watch\n"
        "library()\n"
        "print(seen)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "['1']"


def test_the_cache_is_of_the_type_that_the_graph_has(tiny_onnx: Path) -> None:
    with pytest.raises(UsageError, match="f32"):
        OnnxBackend(tiny_onnx, BackendSettings(context=64))


def test_a_context_beyond_the_rotary_tables_is_refused_with_their_length(tiny_onnx: Path) -> None:
    with pytest.raises(UsageError, match="513") as caught:
        OnnxBackend(tiny_onnx, msgspec.structs.replace(SETTINGS, context=513))
    assert "512" in caught.value.message


def test_weights_that_were_prepared_give_the_same_numbers(tiny_onnx: Path, tmp_path: Path) -> None:
    first, second, notes = Notes(), Notes(), None
    cold = rows_of(tiny_onnx, prepared=tmp_path / "prepared", progress=first)
    assert any("preparing" in text for text in first.messages)
    entries = list((tmp_path / "prepared").iterdir())
    assert len(entries) == 1
    stamp = (entries[0] / "weights.bin").stat().st_mtime_ns
    warm = rows_of(tiny_onnx, prepared=tmp_path / "prepared", progress=second)
    assert second.messages == []
    assert (entries[0] / "weights.bin").stat().st_mtime_ns == stamp
    assert np.array_equal(cold, warm)
    assert np.array_equal(cold, rows_of(tiny_onnx, progress=notes))


@pytest.mark.parametrize("damage", ["cut", "graph", "facts", "gone"])
def test_prepared_weights_that_are_damaged_are_made_again(tiny_onnx: Path, tmp_path: Path, damage: str) -> None:
    cold = rows_of(tiny_onnx, prepared=tmp_path)
    entry = next(tmp_path.iterdir())
    if damage == "cut":
        os.truncate(entry / "weights.bin", 1000)
    elif damage == "graph":
        (entry / "model.onnx").write_bytes(b"nonsense")
    elif damage == "facts":
        (entry / "prepared.json").write_text("{")
    else:
        shutil.rmtree(entry)
    assert np.array_equal(rows_of(tiny_onnx, prepared=tmp_path), cold)
    assert [path.name for path in tmp_path.iterdir()] == [entry.name]
    quiet = Notes()
    rows_of(tiny_onnx, prepared=tmp_path, progress=quiet)
    assert quiet.messages == []


def test_without_room_the_portable_file_is_used_and_said(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgellm_runtimes.onnx import prepared

    monkeypatch.setattr(prepared, "_MOST_BYTES", 1000)
    notes = Notes()
    rows_of(tiny_onnx, prepared=tmp_path / "prepared", progress=notes)
    assert any("no room for prepared weights" in text for text in notes.messages)
    (tmp_path / "file").write_text("in the way")
    notes = Notes()
    rows_of(tiny_onnx, prepared=tmp_path / "file" / "prepared", progress=notes)
    assert any("cannot be kept" in text for text in notes.messages)


def test_another_processor_prepares_its_own(tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgellm_runtimes.onnx import prepared

    rows_of(tiny_onnx, prepared=tmp_path)
    monkeypatch.setattr(prepared, "_cpu_features", lambda: ("warp9",))
    rows_of(tiny_onnx, prepared=tmp_path)
    assert len(prepared.list_prepared(tmp_path)) == 2


def test_prepared_weights_in_use_stay(tiny_onnx: Path, tmp_path: Path) -> None:
    from edgellm_runtimes.onnx.prepared import list_prepared, remove_prepared

    backend = OnnxBackend(tiny_onnx, SETTINGS, prepared=tmp_path)
    try:
        assert remove_prepared(tmp_path) == 0
        assert len(list_prepared(tmp_path)) == 1
    finally:
        backend.close()
    assert remove_prepared(tmp_path, dry_run=True) > 0
    assert remove_prepared(tmp_path) > 0
    assert list_prepared(tmp_path) == []


def test_memory_of_a_dropped_sequence_is_given_back(tiny_onnx: Path) -> None:
    import psutil

    backend = open_backend(tiny_onnx, BackendSettings(context=512, sequences=16, batch=512, ubatch=512, outputs=16))
    try:
        text = [5 + number % 900 for number in range(512)]
        backend.decode([TokenSlice(0, text, 0)])
        backend.drop_sequence(0)
        before = psutil.Process().memory_info().rss
        for sequence in range(1, 16):
            backend.copy_sequence(sequence - 1, sequence) if sequence > 1 else backend.decode([TokenSlice(1, text, 0)])
        filled = psutil.Process().memory_info().rss
        assert filled - before > 14 * backend.saved_bytes(1) // 2
        for sequence in range(16):
            backend.drop_sequence(sequence)
        after = psutil.Process().memory_info().rss
        assert after - before < (filled - before) // 4
    finally:
        backend.close()


LONG = BackendSettings(context=512, sequences=3, batch=512, ubatch=512, outputs=400)


@pytest.fixture
def long_prompt() -> list[int]:
    return [5 + number * 7 % 900 for number in range(380)]


def test_long_prompts_are_computed_in_pieces_with_the_same_rows(tiny_onnx: Path, long_prompt: list[int]) -> None:
    backend = open_backend(tiny_onnx, LONG)
    try:
        seen = watch_runs(backend)
        slices = [TokenSlice(0, long_prompt, 300), TokenSlice(1, long_prompt[:120], 1), TokenSlice(2, [7])]
        found = backend.decode(slices).copy()
        assert {width for _first, _end, width in seen} == {1, 120, 126, 127}
        backend.drop_sequence(0)
        plain = np.concatenate([backend.decode([TokenSlice(0, [token])]).copy() for token in long_prompt])
        assert np.abs(found[:300] - plain[80:]).max() < 1e-3
        assert np.abs(found[300] - plain[119]).max() < 1e-3
        assert [backend.sequence_length(sequence) for sequence in range(3)] == [380, 120, 1]
    finally:
        backend.close()


def test_an_abort_between_two_pieces_leaves_every_sequence_as_it_was(tiny_onnx: Path, long_prompt: list[int]) -> None:
    backend = open_backend(tiny_onnx, LONG)
    try:
        expected = backend.decode([TokenSlice(0, long_prompt), TokenSlice(1, [5])]).copy()
        backend.drop_sequence(0)
        backend.truncate_sequence(1, 0)
        seen = watch_runs(backend, lambda: len(seen) == 2 and backend.abort_flag.set())
        with pytest.raises(DecodeAbortedError):
            backend.decode([TokenSlice(0, long_prompt), TokenSlice(1, [5])])
        backend.abort_flag.clear()
        assert len(seen) == 3, "the third run was stopped"
        assert [backend.sequence_length(sequence) for sequence in range(2)] == [0, 0]
        again = backend.decode([TokenSlice(0, long_prompt), TokenSlice(1, [5])])
        assert np.array_equal(again, expected)
    finally:
        backend.close()


def watch_runs(backend: Any, after: Callable[[], object] = lambda: None) -> list[tuple[int, int, int]]:
    """A list that gets the sequences and the width of each run; ``after`` is called behind each."""
    seen: list[tuple[int, int, int]] = []
    runner = backend._open_runner()
    run = runner.run

    def watched(output: str, what: Any, *rest: Any) -> None:
        seen.append((what.first, what.end, what.width))
        run(output, what, *rest)
        after()

    runner.run = watched
    return seen
