"""`edgellm pack --format onnx` from the outside: one bundle of several files, packed, shown, moved and run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cli_process import Cli
from edgellm.bundle.media import WEIGHT_CONFIG_TYPE, WEIGHT_RAW_TYPE
from edgellm.bundle.opened import open_bundle
from edgellm.errors import ModelFileError
from edgellm.formats.onnx_graph import read_graph
from edgellm_runtimes.smoke import run_smoke

GRAPH, DATA = "model.onnx", "model.onnx.data"
CONFIGS = {"genai_config.json", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def home(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with tiny-llm in INT4_32_M; not to be changed by tests."""
    home = tmp_path_factory.mktemp("packed-onnx")
    Cli(home).run("pack", tiny_llm, "--device", "raspberrypi5", "--quant", "int4_32_m")
    return home


@pytest.fixture
def packed(home: Path) -> Cli:
    return Cli(home)


def blob(cli: Cli, digest: str) -> Path:
    return cli.home / "store" / "blobs" / "sha256" / digest.removeprefix("sha256:")


def files_of(cli: Cli, name: str = "tiny-llm") -> dict[str, Path]:
    """The files of a bundle in the store, by path."""
    return {file["path"]: blob(cli, file["digest"]) for file in cli.json("show", name)["files"]}


def test_a_recipe_of_onnx_makes_an_onnx_bundle_that_answers(packed: Cli) -> None:
    [row] = packed.json("list")
    assert (row["name"], row["recipe"]) == ("tiny-llm:raspberrypi5-int4_32_m", "INT4_32_M")
    shown = packed.json("show", "tiny-llm")
    assert set(files_of(packed)) == {GRAPH, DATA, "README.md"} | CONFIGS
    assert shown["plan"]["runtime"]["name"] == "onnxruntime"
    assert (shown["plan"]["kv_type_k"], shown["plan"]["kv_type_v"]) == ("f32", "f32")
    assert shown["parameters"] == "8.4M"
    assert shown["smoke"]["generated_tokens"] > 1
    assert packed.json("verify")["findings"] == []
    answer = packed.json("run", "tiny-llm", "Once upon a time", "--raw", "-n", "12", "--temperature", "0")
    assert answer["timings"]["generated_tokens"] == 12


def test_layers_have_modelpack_types(packed: Cli) -> None:
    manifest = json.loads(blob(packed, packed.json("show", "tiny-llm")["digest"]).read_bytes())
    types = {
        layer["annotations"]["org.cncf.model.filepath"]: layer["mediaType"]
        for layer in manifest["layers"]
        if "annotations" in layer
    }
    assert {path for path, kind in types.items() if kind == WEIGHT_RAW_TYPE} == {GRAPH, DATA}
    assert {path for path, kind in types.items() if kind == WEIGHT_CONFIG_TYPE} == CONFIGS
    config = json.loads(blob(packed, manifest["config"]["digest"]).read_bytes())
    assert config["config"]["format"] == "onnx"


def test_the_graph_names_the_data_that_it_belongs_to(packed: Cli) -> None:
    files = files_of(packed)
    _, graph = read_graph(files[GRAPH])
    assert graph.metadata["edgellm.data_digest"] == f"sha256:{files[DATA].name}"
    assert int(graph.metadata["edgellm.data_size"]) == files[DATA].stat().st_size
    assert graph.metadata["edgellm.recipe"] == "INT4_32_M"


def test_two_packs_of_the_same_input_give_the_same_digest(
    packed: Cli, cli: Cli, tiny_llm: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_llm, tmp_path / "tiny-llm")
    [again] = cli.json("pack", tmp_path / "tiny-llm", "-d", "raspberrypi5", "--quant", "INT4_32_M", "--threads", "1")
    assert again["digest"] == packed.json("show", "tiny-llm")["digest"]


def test_several_devices_share_weights_graph_and_tokenizer(cli: Cli, tiny_llm: Path) -> None:
    cli.run("pack", tiny_llm, "-d", "raspberrypi5", "-d", "rk3588", "--format", "onnx", "--quant", "INT8_128")
    first, second = (files_of(cli, row["name"]) for row in cli.json("list"))
    assert all(first[path] == second[path] for path in (GRAPH, DATA, "tokenizer.json", "tokenizer_config.json"))


def test_a_bundle_travels_as_an_archive_and_runs_where_it_arrives(packed: Cli, cli: Cli, tmp_path: Path) -> None:
    packed.run("export", "tiny-llm", tmp_path / "tiny.tar")
    cli.run("import", tmp_path / "tiny.tar")
    words = ("run", "tiny-llm", "The", "--raw", "-n", "6", "--temperature", "0")
    assert cli.json(*words)["text"] == packed.json(*words)["text"]


def test_a_system_prompt_is_baked_in(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    (tmp_path / "system.txt").write_text("Answer in verse.")
    words = ("pack", tiny_llm, "-d", "raspberrypi5", "--quant", "INT4_32", "--system", tmp_path / "system.txt")
    [bundle] = cli.json(*words)
    [plain] = cli.json("pack", tiny_llm, "-d", "raspberrypi5", "--quant", "Q8_0", "--system", tmp_path / "system.txt")
    assert bundle["plan"]["system_prompt"] == plain["plan"]["system_prompt"], "both formats read the same tokens"


def test_auto_takes_a_recipe_of_the_format(cli: Cli, tiny_llm: Path) -> None:
    [bundle] = cli.json("pack", tiny_llm, "-d", "raspberrypi5", "--format", "onnx")
    assert bundle["recipe"].startswith("INT")
    rows = cli.json("fit", tiny_llm, "-d", "raspberrypi5", "--format", "onnx")["rows"]
    assert [row["recipe"] for row in rows if row["chosen"]] == [bundle["recipe"]]
    assert {row["recipe"] for row in rows} >= {"FP32", "INT8_128", "INT8_DYNAMIC", "INT4_128_M_SYM"}


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("--format", "onnx", "--quant", "Q4_K_M"), 2, "there is no ONNX recipe 'Q4_K_M'"),
        (("--format", "gguf", "--quant", "INT4_32"), 2, "there is no recipe 'INT4_32'"),
        (("--format", "onnx", "--adapter", "a=missing"), 3, "missing does not exist"),
    ],
)
def test_what_does_not_go_together_is_refused(
    cli: Cli, tiny_llm: Path, words: tuple[str, ...], status: int, message: str
) -> None:
    said = cli.run("pack", tiny_llm, "-d", "raspberrypi5", *words, status=status).stderr
    assert message in said
    assert cli.json("list") == []


def test_a_gguf_file_does_not_become_onnx(cli: Cli, tiny_gguf: Path) -> None:
    said = cli.run("pack", tiny_gguf, "-d", "raspberrypi5", "--format", "onnx", status=1).stderr
    assert "an ONNX model is made of a checkpoint" in said


def test_a_checkpoint_without_tokenizer_json_is_told_what_to_do(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "no-tokenizer"
    shutil.copytree(tiny_llm, folder)
    (folder / "tokenizer.json").unlink()
    said = cli.run("pack", folder, "-d", "raspberrypi5", "--format", "onnx", status=1).stderr
    assert "no tokenizer" in said


@pytest.mark.parametrize("path", [GRAPH, DATA, "tokenizer.json", "genai_config.json"])
def test_a_missing_file_is_named(home: Path, tmp_path: Path, path: str) -> None:
    shutil.copytree(home, tmp_path / "home")
    cli = Cli(tmp_path / "home")
    files_of(cli)[path].unlink()
    said = cli.run("run", "tiny-llm", "x", "--raw", "-n", "1", status=5).stderr
    assert "missing" in said
    assert cli.json("verify", status=5)["findings"]


def test_a_graph_with_the_data_of_another_pack_is_refused(cli: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    """The graphs of both recipes are equal but for what they say of their data."""
    folders = []
    for number in range(2):
        checkpoint = tmp_path / f"model{number}"
        shutil.copytree(tiny_llm, checkpoint)
        if number:
            weights = bytearray((checkpoint / "model.safetensors").read_bytes())
            weights[-1000:-998] = b"\x00\x3c"  # one number
            (checkpoint / "model.safetensors").write_bytes(weights)
        cli.run("pack", checkpoint, "-d", "raspberrypi5", "--quant", "INT4_32", "-o", tmp_path / f"bundle{number}")
        folders.append(open_bundle(tmp_path / f"bundle{number}"))
    first, second = folders
    mixed = first.files | {DATA: second.files[DATA]}
    assert first.files[DATA] != second.files[DATA]
    with pytest.raises(ModelFileError, match="do not belong together"):
        run_smoke(first.weights_path, files=mixed)
