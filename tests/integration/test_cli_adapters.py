"""`edgellm pack --adapter`: the adapters travel with the bundle, whatever it is made from and wherever it goes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from checkpoint_maker import write_safetensors
from cli_process import Cli
from edgellm.bundle.opened import open_bundle
from edgellm_runtimes.backend import BackendSettings, TokenSlice
from edgellm_runtimes.generation import AdapterUse
from edgellm_runtimes.llama_cpp.model import LlamaBackend
from peft_parts import make_adapter, merged, read_checkpoint

DEVICE = ("--device", "raspberrypi5")


@pytest.fixture(scope="module")
def adapters(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the adapters `sql` and `poems`."""
    root = tmp_path_factory.mktemp("adapters")
    base = read_checkpoint(tiny_llm)
    make_adapter(root / "sql", base, r=8)
    (root / "sql" / "README.md").write_text("---\nlicense: mit\nbase_model: example/tiny\n---\nAn adapter.\n")
    (root / "sql" / "LICENSE").write_text("MIT License\n")
    make_adapter(root / "poems", base, targets=("q_proj", "v_proj"), seed=5)
    return root


@pytest.fixture(scope="module")
def home(tiny_llm: Path, adapters: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    words = ["--adapter", f"SQL={adapters / 'sql'}", "--adapter", f"poems={adapters / 'poems'}"]
    Cli(home).run("pack", tiny_llm, *DEVICE, "--quant", "F16", *words, "--name", "tiny:both")
    return home


def test_the_plan_and_show_tell_of_them(home: Path) -> None:
    shown = Cli(home).json("show", "tiny:both")
    poems, sql = shown["plan"]["adapters"]
    assert (poems["name"], poems["rank"], poems["kind"], poems["base"]) == ("poems", 4, "peft", "example/tiny")
    assert (sql["name"], sql["rank"], sql["licenses"]) == ("sql", 8, ["MIT"])
    assert set(sql["files"]) == {"adapter_config.json", "adapter_model.safetensors"}
    assert all(digest.startswith("sha256:") for digest in sql["files"].values())
    assert set(shown["adapter_paths"]) == {"poems", "sql"}
    sizes = {file["path"]: file["size_bytes"] for file in shown["files"]}
    assert {"adapters/sql.gguf", "adapters/poems.gguf", "adapters/sql/LICENSE", "adapters/sql/README.md"} < set(sizes)
    memory = shown["plan"]["predicted_memory"]
    assert 0 < memory["adapter_bytes"] <= sizes["adapters/sql.gguf"] + sizes["adapters/poems.gguf"]
    text = Cli(home).run("show", "tiny:both").stdout
    assert "poems (rank 4," in text
    assert "MIT License" in Cli(home).run("show", "tiny:both", "--license").stdout


def test_a_packed_adapter_changes_what_the_model_says_as_merged_weights_do(
    home: Path, tiny_llm: Path, adapters: Path, tmp_path: Path
) -> None:
    base = read_checkpoint(tiny_llm)
    adapter = make_adapter(tmp_path / "again", base, r=8)
    other = tmp_path / "merged"
    shutil.copytree(tiny_llm, other)
    write_safetensors(other / "model.safetensors", merged(base, adapter, r=8))
    cli = Cli(tmp_path / "home")
    cli.run("pack", other, *DEVICE, "--quant", "F16", "--name", "merged:f16")
    shown = Cli(home).json("show", "tiny:both")
    settings = BackendSettings(context=64, outputs=8, kv_type_k="f32", kv_type_v="f32")
    paths = {name: Path(path) for name, path in shown["adapter_paths"].items()}
    adapted = LlamaBackend(Path(shown["weights_path"]), settings, adapters=paths)
    expected = LlamaBackend(Path(cli.json("show", "merged:f16")["weights_path"]), settings)
    try:
        prompt = adapted.vocabulary.tokenize("Friends, Romans", add_special=True, parse_special=False)
        plain = adapted.decode([TokenSlice(0, prompt)])[0].copy()
        adapted.drop_sequence(0)
        adapted.set_adapters([AdapterUse("sql")])
        ours, theirs = adapted.decode([TokenSlice(0, prompt)])[0], expected.decode([TokenSlice(0, prompt)])[0]
        assert np.abs(ours - plain).max() > 1
        assert np.abs(ours - theirs).max() < 2e-2 * theirs.std()  # F16 rounds base and sum apart
    finally:
        adapted.close()
        expected.close()


def test_the_same_input_gives_the_same_digest(
    home: Path, tiny_llm: Path, adapters: Path, cli: Cli, tmp_path: Path
) -> None:
    shutil.copytree(adapters, tmp_path / "moved")
    words = ["--adapter", f"poems={tmp_path / 'moved' / 'poems'}", "--adapter", f"sql={tmp_path / 'moved' / 'sql'}"]
    [again] = cli.json("pack", tiny_llm, *DEVICE, "--quant", "F16", *words, "--threads", "1")
    assert again["digest"] == Cli(home).json("show", "tiny:both")["digest"]
    shutil.rmtree(cli.home)
    [other] = cli.json("pack", tiny_llm, *DEVICE, "--quant", "F16", *words[:2])
    assert other["digest"] != again["digest"]


def test_they_move_with_the_bundle(home: Path, cli: Cli, tmp_path: Path) -> None:
    archive = tmp_path / "both.tar"
    Cli(home).run("export", "tiny:both", archive)
    cli.run("import", archive)
    ours, theirs = cli.json("show", "tiny:both"), Cli(home).json("show", "tiny:both")
    assert ours["digest"] == theirs["digest"]
    for name, path in theirs["adapter_paths"].items():
        assert Path(ours["adapter_paths"][name]).read_bytes() == Path(path).read_bytes()
    assert cli.json("verify")["findings"] == []
    path = Path(ours["adapter_paths"]["sql"])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert cli.json("verify", status=5)["findings"]


def test_a_gguf_base_and_a_gguf_adapter_give_the_same_files(
    home: Path, cli: Cli, tmp_path: Path, adapters: Path
) -> None:
    shown = Cli(home).json("show", "tiny:both")
    model, ready = tmp_path / "tiny.gguf", tmp_path / "ready.gguf"
    shutil.copy(shown["weights_path"], model)
    shutil.copy(shown["adapter_paths"]["sql"], ready)
    words = ["--adapter", f"sql={adapters / 'sql'}", "--adapter", f"ready={ready}"]
    cli.run("pack", model, *DEVICE, *words, "--output", tmp_path / "out")
    paths = open_bundle(tmp_path / "out").adapter_paths
    assert paths["sql"].read_bytes() == paths["ready"].read_bytes() == ready.read_bytes()
    [sql] = [adapter for adapter in open_bundle(tmp_path / "out").plan.adapters if adapter.name == "sql"]
    assert sql.files == shown["plan"]["adapters"][1]["files"]
    cli.run("pack", model, *DEVICE, *words, "--output", tmp_path / "out.tar")


def test_a_project_names_its_adapters(cli: Cli, tiny_llm: Path, adapters: Path, tmp_path: Path) -> None:
    shutil.copytree(adapters / "sql", tmp_path / "lora")
    (tmp_path / "edgellm.toml").write_text(
        f'source = {json.dumps(str(tiny_llm))}\ndevices = ["raspberrypi5"]\nrecipe = "Q4_0"\n'
        'adapters = {sql = "lora"}\n'
    )
    [packed] = cli.json_in(tmp_path, "pack")
    assert [adapter["name"] for adapter in packed["plan"]["adapters"]] == ["sql"]


@pytest.mark.parametrize(
    ("word", "status", "said"),
    [
        ("sql", 2, "NAME=PATH"),
        ("sql=", 2, "NAME=PATH"),
        ("../x={sql}", 2, "is not the name of an adapter"),
        ("a/b={sql}", 2, "is not the name of an adapter"),
        ("x=/nowhere", 3, "does not exist"),
        ("x={base}", 2, "whole model"),
        ("x={base}/config.json", 2, "not an adapter"),
        ("poems={sql}", 2, "two adapters are called poems"),
    ],
)
def test_what_is_no_adapter_is_refused_before_any_work(
    cli: Cli, tiny_llm: Path, adapters: Path, word: str, status: int, said: str
) -> None:
    words = ["--adapter", f"poems={adapters / 'poems'}", "--adapter", word.format(sql=adapters / "sql", base=tiny_llm)]
    shown = cli.run("pack", tiny_llm, *DEVICE, *words, status=status).stderr
    assert said in shown
    assert "hint:" in shown
    assert cli.json("list") == []


def test_an_adapter_for_another_model_leaves_nothing(cli: Cli, tiny_llm: Path, adapters: Path, tmp_path: Path) -> None:
    shutil.copytree(adapters / "sql", tmp_path / "sql")
    config = json.loads((tmp_path / "sql" / "adapter_config.json").read_text())
    (tmp_path / "sql" / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    shown = cli.run("pack", tiny_llm, *DEVICE, "--adapter", f"sql={tmp_path / 'sql'}", status=1).stderr
    assert "DoRA" in shown
    base = read_checkpoint(tiny_llm)
    wide = {name: np.zeros((300, 300), np.float32) for name in base if name.endswith("q_proj.weight")}
    make_adapter(tmp_path / "wide", wide)
    shown = cli.run("pack", tiny_llm, *DEVICE, "--adapter", f"x={tmp_path / 'wide'}", status=1).stderr
    assert "[300, 300], the model has [256, 256]" in shown
    assert cli.json("list") == []
