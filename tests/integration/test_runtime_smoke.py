"""The smoke test runs in a child: what goes wrong there becomes an error here."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from edgellm.errors import BackendError, Interrupted, ModelFileError, NotFoundError
from edgellm.formats.gguf import read_header
from edgellm.progress import CancelToken
from edgellm_runtimes import smoke
from edgellm_runtimes.smoke import run_smoke

F16_NAN = b"\x00\x7e"


def test_a_good_file_generates(tiny_model: Path) -> None:
    result = run_smoke(tiny_model, tokens=6)
    assert result.generated_tokens == 6
    assert result.text
    assert result.tokens_per_s > 0
    assert result.load_s > 0
    assert result.peak_rss_bytes > tiny_model.stat().st_size


def test_the_child_prints_one_json_line(tiny_model: Path) -> None:
    command = [sys.executable, "-m", "edgellm_runtimes.smoke", "--model", str(tiny_model), "--tokens", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads(done.stdout)["generated_tokens"] == 2


def test_a_torn_file_is_a_model_file_error(tiny_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "torn.gguf"
    path.write_bytes(tiny_gguf.read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match="cut off") as caught:
        run_smoke(path)
    assert caught.value.hint
    with pytest.raises(NotFoundError):
        run_smoke(tmp_path / "none.gguf")


@pytest.mark.parametrize("tensor", ["blk.0.attn_q.weight", "token_embd.weight"])
def test_weights_that_are_not_numbers_are_found(tiny_gguf: Path, tmp_path: Path, tensor: str) -> None:
    data = bytearray(tiny_gguf.read_bytes())
    entry = next(entry for entry in read_header(tiny_gguf).tensors if entry.name == tensor)
    assert entry.type == "F16"
    data[entry.offset_bytes : entry.offset_bytes + entry.size_bytes] = F16_NAN * (entry.size_bytes // 2)
    path = tmp_path / "nan.gguf"
    path.write_bytes(data)
    with pytest.raises(BackendError, match="not finite"):
        run_smoke(path)


def run_instead(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let the child be a shell script: a crash of any kind, without a crash of ours."""
    program = folder / "child"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(smoke.sys, "executable", str(program))


@pytest.mark.parametrize("name", ["SIGILL", "SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_crash_of_the_child_is_an_error_that_names_the_signal(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run_instead(tmp_path, monkeypatch, f"ulimit -c 0; kill -{int(getattr(signal, name))} $$")
    with pytest.raises(BackendError, match=name):
        run_smoke(tiny_gguf)


def test_a_child_that_hangs_is_ended(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead(tmp_path, monkeypatch, "exec sleep 60")
    with pytest.raises(BackendError, match="did not end"):
        run_smoke(tiny_gguf, timeout_s=0.2)


@pytest.mark.parametrize("output", ["", "nonsense", '{"text": 3}', "[]"])
def test_a_child_that_says_nothing_useful_is_an_error(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    run_instead(tmp_path, monkeypatch, f"echo '{output}'; echo broken >&2; exit 3")
    with pytest.raises(BackendError, match="status 3: broken"):
        run_smoke(tiny_gguf)


def test_a_real_crash_in_native_code_does_not_reach_the_parent(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from edgellm_runtimes.llama_cpp.batch import BatchArrays\n"
        "fill = BatchArrays.fill\n"
        "def lie(self, slices, lengths):\n"
        "    count = fill(self, slices, lengths)\n"
        "    self.struct.n_tokens = 10_000_000  # far beyond the arrays\n"
        "    return count\n"
        "BatchArrays.fill = lie\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(BackendError, match=r"SIGSEGV|SIGABRT"):
        run_smoke(tiny_gguf)


def test_a_cancelled_test_ends_its_child(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead(tmp_path, monkeypatch, "exec sleep 60")
    cancel = CancelToken()
    cancel.cancel()
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(Interrupted):
        run_smoke(tiny_gguf, cancel=cancel)
    assert set(psutil.Process().children(recursive=True)) <= before


def test_the_child_ends_when_its_parent_is_killed(tiny_gguf: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from edgellm_runtimes.smoke import run_smoke\n"
        "run_smoke(Path(sys.argv[1]), context=65536, tokens=65000)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tiny_gguf)]) as parent:
        process = psutil.Process(parent.pid)
        deadline = time.monotonic() + 30
        while not process.children() and time.monotonic() < deadline:
            time.sleep(0.01)
        [child] = process.children()
        parent.kill()
    child.wait(30)  # raises when it is still there
