"""Fixtures that every test may use; the environment is cleaned so that no test touches the user's own folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_process import Cli
from server_process import RunningServer, running_server

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own settings come from nowhere, and HOME is an empty folder."""
    for name in list(os.environ):
        if name.startswith(("EDGELLM_", "XDG_", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EDGELLM_SYSTEM_STORE", "")
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("GGML_NO_BACKTRACE", "1")


@pytest.fixture(scope="session")
def tiny_llm() -> Path:
    """The small trained checkpoint that travels with the repository."""
    return REPOSITORY / "tests" / "models" / "tiny-llm"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """More checkpoints and tokenizers, where they stand beside the repository; skips where they do not."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "models").is_dir():
        pytest.skip("needs the extra models and tokenizers beside the repository")
    return folder


@pytest.fixture(scope="session")
def tiny_gguf(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-llm as an F16 GGUF with its vocabulary and chat template, made once per worker."""
    from backends import write_gguf_file

    return write_gguf_file(tiny_llm, tmp_path_factory.mktemp("gguf") / "tiny-llm-f16.gguf", "F16")


@pytest.fixture(scope="session")
def tiny_onnx(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-llm as an ONNX model in float32 with the files beside its graph, made once per worker."""
    from backends import write_onnx_folder

    return write_onnx_folder(tiny_llm, tmp_path_factory.mktemp("onnx"))


@pytest.fixture(params=["gguf", "onnx"], scope="session")
def tiny_model(request: pytest.FixtureRequest) -> Path:
    """tiny-llm for each backend: ``backends.open_backend`` opens it."""
    return request.getfixturevalue(f"tiny_{request.param}")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random BERT as sentence-transformers saves it: mean pooling, length 1, texts of up to 48 tokens."""
    from bert_checkpoint import make_bert

    folder = tmp_path_factory.mktemp("bert") / "tiny-bert"
    make_bert(folder)
    return folder


@pytest.fixture(params=["gguf", "onnx"], scope="session")
def bert_model(request: pytest.FixtureRequest, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-bert in float32 for each backend: ``backends.open_backend`` opens it."""
    from backends import write_gguf_file, write_onnx_folder

    folder = tmp_path_factory.mktemp("bert-model")
    if request.param == "onnx":
        return write_onnx_folder(tiny_bert, folder)
    return write_gguf_file(tiny_bert, folder / "tiny-bert.gguf", "F32")


@pytest.fixture(scope="session", params=["gguf", "onnx"])
def bert_home(request: pytest.FixtureRequest, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose store holds tiny-bert in eight bits, in either format; not to be changed by tests."""
    home = tmp_path_factory.mktemp("packed-bert")
    Cli(home).run("pack", tiny_bert, "--device", "raspberrypi", "--format", request.param)
    return home


@pytest.fixture(scope="session")
def bert_server(bert_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server over ``bert_home``, shared by all tests of a worker."""
    with running_server(bert_home, tmp_path_factory.mktemp("bert-server") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def packed_home(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose store holds tiny-llm in Q4_K_M for the Raspberry Pi 5; not to be changed by tests."""
    home = tmp_path_factory.mktemp("packed")
    Cli(home).run("pack", tiny_llm, "--device", "raspberrypi", "--quant", "Q4_K_M")
    return home


@pytest.fixture
def own_home(packed_home: Path, tmp_path: Path) -> Path:
    """A home with a copy of the store of ``packed_home``, which a test may change."""
    home = tmp_path / "home"
    shutil.copytree(packed_home / "store", home / "store")
    return home


@pytest.fixture
def own_server(own_home: Path, tmp_path: Path) -> Iterator[RunningServer]:
    """A server over ``own_home``, whose runtime file clients find there."""
    with running_server(own_home, tmp_path / "log") as running:
        yield running


@pytest.fixture(scope="session")
def packed_onnx_home(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as an ONNX bundle; not to be changed by tests."""
    home = tmp_path_factory.mktemp("packed-onnx")
    Cli(home).run("pack", tiny_llm, "--device", "raspberrypi", "--quant", "INT4_32_M", "--format", "onnx")
    return home


@pytest.fixture(scope="session", params=["packed_home", "packed_onnx_home"], ids=["gguf", "onnx"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server over a home with a model of each format, shared by all tests of a worker: they leave its store and
    settings alone."""
    home: Path = request.getfixturevalue(request.param)
    with running_server(home, tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def hub_root(packed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a hub with acme/tiny-llm-GGUF, whose file no store has yet."""
    root = tmp_path_factory.mktemp("hub")
    files = root / "acme" / "tiny-llm-GGUF"
    files.mkdir(parents=True)
    (files / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    weights = Cli(packed_home).json("show", "tiny-llm")["weights_path"]
    shutil.copyfile(weights, files / "tiny-llm-Q4_K_M.gguf")
    return root
