"""A device without a network and without a compiler: edgellm is installed from a wheelhouse and runs a bundle.

Run by `make oracle`, which makes the wheelhouse first; EDGELLM_WHEELHOUSE is its folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = os.environ.get("EDGELLM_WHEELHOUSE")
REPOSITORY = Path(__file__).resolve().parents[2]
PROMPT = "The history of the city began"

pytestmark = pytest.mark.skipif(not FOLDER, reason="needs a wheelhouse, some minutes of compiling: make oracle")


def offline() -> list[str]:
    """What to put before a command so that it has no network; nothing where that is not permitted."""
    for prefix in (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
        ):
            return prefix
    return []


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that sees nothing of the development environment."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "EDGELLM_HOME": str(cwd / "edgellm"), "LANG": "C.UTF-8"}
    words = [*offline(), *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment, timeout=600, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy: nothing of the checkout is beside it."""
    assert FOLDER is not None
    return Path(shutil.copytree(REPOSITORY / FOLDER, tmp_path_factory.mktemp("device") / "wheelhouse"))


@pytest.fixture(scope="module")
def device(wheelhouse: Path) -> Path:
    """The programs of a fresh environment, installed as INSTALL.txt says."""
    run("sha256sum", "--check", "--quiet", "SHA256SUMS", cwd=wheelhouse)
    environment = wheelhouse.parent / "environment"
    run(sys.executable, "-m", "venv", environment, cwd=wheelhouse)
    options = ["--no-index", "--find-links", ".", "--require-hashes", "--no-cache-dir"]
    run(environment / "bin" / "pip", "install", *options, "-r", "requirements.txt", cwd=wheelhouse)
    return environment / "bin"


@pytest.fixture(scope="module")
def bundle(tiny_llm: Path, device: Path) -> Path:
    """The demo's bundle, packed by the development environment."""
    folder = device.parent.parent / "bundle"
    command = [sys.executable, "-m", "edgellm.cli.main", "pack", tiny_llm, "--device", "raspberrypi", "--quant"]
    environment = {**os.environ, "EDGELLM_HOME": str(folder.parent / "workstation")}
    subprocess.run(
        [*command, "Q4_K_M", "--output", folder], check=True, capture_output=True, env=environment, timeout=300
    )
    return folder


def test_the_installed_edgellm_is_the_one_of_the_wheelhouse(device: Path, tmp_path: Path) -> None:
    ask = "import edgellm, edgellm_runtimes._native, edgellm_converters._quantize, llama_cpp; print(edgellm.__file__)"
    assert run(device / "python", "-c", ask, cwd=tmp_path).startswith(str(device.parent))
    assert "intel-n100" in run(device / "edgellm", "devices", "list", cwd=tmp_path)


def test_nothing_is_missing_or_at_odds(device: Path, tmp_path: Path) -> None:
    assert "No broken requirements" in run(device / "pip", "check", cwd=tmp_path)


def test_the_demo_bundle_runs(device: Path, bundle: Path, tmp_path: Path) -> None:
    options = ["--raw", "--max-tokens", "24", "--temperature", "0"]
    text = run(device / "edgellm", "run", bundle, PROMPT, *options, cwd=tmp_path)
    assert len(text.split()) >= 8
    assert run(device / "edgellm", "run", bundle, PROMPT, *options, cwd=tmp_path) == text


def test_the_bundle_is_whole_and_stays_so(device: Path, bundle: Path, tmp_path: Path) -> None:
    shown = json.loads(run(device / "edgellm", "show", bundle, "--json", cwd=tmp_path))
    run(device / "edgellm", "verify", bundle, cwd=tmp_path)
    assert shown
