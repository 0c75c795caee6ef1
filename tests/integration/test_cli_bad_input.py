"""Damaged, lying and hostile input through the command line: a clear error, the right exit status, nothing left."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli_process import Cli
from edgellm.formats.gguf import read_header
from edgellm_converters.gguf.encode import encode_entry, make_layout
from tmpfs import tmpfs

WEIGHTS = "model.safetensors"


def cut_weights(model: Path) -> None:
    raw = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(raw[: len(raw) // 2])


def edit_header(model: Path, change: Callable[[dict[str, dict[str, object]]], None]) -> None:
    raw = (model / WEIGHTS).read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    change(header)
    packed = json.dumps(header).encode()
    (model / WEIGHTS).write_bytes(struct.pack("<Q", len(packed)) + packed + raw[8 + size :])


def overlap(model: Path) -> None:
    def change(header: dict[str, dict[str, object]]) -> None:
        first, second = [name for name in header if name.endswith("q_proj.weight")][:2]
        header[first]["data_offsets"] = header[second]["data_offsets"]

    edit_header(model, change)


def wrong_shape(model: Path) -> None:
    def change(header: dict[str, dict[str, object]]) -> None:
        header["model.layers.0.mlp.down_proj.weight"]["shape"] = [768, 256]

    edit_header(model, change)


def nan_weights(model: Path) -> None:
    raw = bytearray((model / WEIGHTS).read_bytes())
    raw[-4:] = b"\xc0\x7f\xc0\x7f"  # bfloat16 NaN
    (model / WEIGHTS).write_bytes(raw)


def leave_the_folder(model: Path) -> None:
    (model / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"model.embed_tokens.weight": "../../../etc/passwd"}})
    )


def lose_a_shard(model: Path) -> None:
    (model / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"model.embed_tokens.weight": "model-00001-of-00002.safetensors"}})
    )


def pickle_only(model: Path) -> None:
    (model / WEIGHTS).rename(model / "pytorch_model.bin")


def other_architecture(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(
        json.dumps(config | {"model_type": "mamba", "architectures": ["MambaForCausalLM"]})
    )


def no_tokenizer(model: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (model / name).unlink()


def torn_config(model: Path) -> None:
    (model / "config.json").write_text('{"model_type": "llama", ')


def deep_config(model: Path) -> None:
    (model / "config.json").write_text("[" * 100_000)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut_weights, "model.safetensors"),
        (overlap, "overlap|belong to no tensor"),
        (wrong_shape, "down_proj"),
        (nan_weights, "NaN"),
        (leave_the_folder, "passwd"),
        (lose_a_shard, "missing"),
        (pickle_only, "pickle"),
        (other_architecture, "qwen3"),
        (no_tokenizer, "tokenizer.json"),
        (torn_config, "config.json"),
        (deep_config, "config.json"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    cli: Cli, tiny_llm: Path, tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_llm, model)
    damage(model)
    done = cli.run("pack", model, "-d", "raspberrypi5", "--quant", "Q4_0", status=1)
    assert "error:" in done.stderr
    assert any(word in done.stderr for word in said.split("|")), done.stderr
    assert cli.json("list") == []
    assert not list((cli.home / "store").rglob("partial-*"))


@pytest.mark.parametrize("cut", [3, 4, 20, 1000, -1])
def test_a_torn_gguf_is_refused_by_pack_run_and_fit(cli: Cli, tiny_gguf: Path, tmp_path: Path, cut: int) -> None:
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(tiny_gguf.read_bytes()[:cut])
    for command in (["pack", "-d", "raspberrypi5"], ["fit", "-d", "raspberrypi5"], ["run"]):
        extra = ["Hello"] if command == ["run"] else []
        done = cli.run(command[0], str(torn), *command[1:], *extra, status=2 if cut == 3 else 1)
        assert "torn.gguf" in done.stderr


def test_a_gguf_of_a_newer_version_says_so(cli: Cli, tiny_gguf: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.gguf"
    raw = bytearray(tiny_gguf.read_bytes())
    raw[4:8] = struct.pack("<I", 4)
    newer.write_bytes(raw)
    assert "version 4" in cli.run("run", newer, "Hello", status=1).stderr


def test_a_flipped_byte_is_found_and_said(packed: Cli, tmp_path: Path) -> None:
    home = tmp_path / "copy"
    shutil.copytree(packed.home, home)
    cli = Cli(home)
    weights = Path(cli.json("show", "tiny-llm")["weights_path"])
    weights.chmod(0o644)
    raw = bytearray(weights.read_bytes())
    raw[len(raw) // 2] ^= 1
    weights.write_bytes(raw)
    done = cli.run("verify", status=5)
    assert done.stderr.count("tiny-llm") == 1
    weights.with_name(Path(cli.json("show", "tiny-llm")["files"][-1]["digest"]).name.removeprefix("sha256:")).unlink()
    lines = [line for line in cli.run("verify", status=5).stderr.splitlines() if "tiny-llm" in line]
    assert len(lines) == len(set(lines)) == 2
    assert all(line.startswith("damaged: ") for line in lines)


def test_a_profile_that_lies_is_refused(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text('id = "mine"\ncolour = "red"\n')
    done = cli.run("fit", tiny_llm, "-d", profile, status=2)
    assert "mine.toml" in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB; skips where it cannot be mounted."""
    with tmpfs(tmp_path / "disk", "size=12m") as disk:
        yield disk


def test_a_full_disk_is_said_and_nothing_half_is_visible(small_disk: Path, tiny_llm: Path) -> None:
    cli = Cli(small_disk / "home")
    cli.run("pack", tiny_llm, "-d", "raspberrypi5", "--quant", "Q4_0", "--name", "first")
    before = cli.json("list")
    refused = cli.run("pack", tiny_llm, "-d", "raspberrypi5", "--quant", "F16", "--name", "second", status=1)
    assert f"{cli.home / 'store'} has" in refused.stderr
    assert "prove the tokenizer" not in refused.stderr, "the plan says how much it takes"
    (small_disk / "fill").write_bytes(bytes(4 << 20))
    cut = cli.run("pack", tiny_llm, "-d", "raspberrypi5", "--quant", "Q3_K_M", "--name", "third", status=1)
    moved = cli.run("export", "first", small_disk / "first.tar", status=1)
    for said in (refused.stderr, cut.stderr, moved.stderr):
        assert "disk" in said
        assert ".staging" not in said, "no place that a user has heard of"
    assert "EDGELLM_STORE" in refused.stderr
    assert "--output" not in moved.stderr
    assert cli.json("list") == before
    assert cli.json("verify")["findings"] == []
    assert cli.json("gc")["freed_bytes"] == 0
    (small_disk / "fill").unlink()
    cli.run("run", "first", "Hello", "-n", "2")


def test_a_file_on_which_the_library_aborts_is_an_error_and_no_crash(cli: Cli, tiny_gguf: Path, tmp_path: Path) -> None:
    raw, header = tiny_gguf.read_bytes(), read_header(tiny_gguf)
    keys = [raw[start:end] for start, end in header.spans.values()]
    keys.append(encode_entry(("llama.expert_count", 255, "u32")))
    layout = make_layout(keys, [(tensor.name, tensor.type, tensor.shape) for tensor in header.tensors])
    hostile = tmp_path / "hostile.gguf"
    hostile.write_bytes(layout.header + raw[header.data_offset_bytes :])
    assert "error:" in cli.run("run", hostile, "Hello", "-n", "2", status=1).stderr
    assert "SIGABRT" in cli.run("pack", hostile, "-d", "raspberrypi5", "--quant", "F16", status=1).stderr
    assert cli.json("list") == []
