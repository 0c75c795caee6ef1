"""What makes a wheelhouse, part by part: refusals, pip, the check of the library, checksums. Nothing is fetched."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from edgellm.deploy.build_machine import machine_arch
from edgellm.deploy.llama_wheel import build_llama_wheel, cached_llama_wheel, keep_llama_wheel
from edgellm.deploy.pip_process import Pip, require_pip
from edgellm.deploy.wheel_check import check_llama_wheel, foreign_instructions
from edgellm.deploy.wheel_files import write_wheel_files
from edgellm.deploy.wheelhouse import WheelhouseRequest, build_wheelhouse
from edgellm.deploy.wheelhouse_command import main
from edgellm.devices.load import load_profile
from edgellm.devices.profile import Profile
from edgellm.errors import (
    BackendError,
    BusyError,
    IntegrityError,
    Interrupted,
    UnsupportedError,
    UsageError,
)
from edgellm.progress import CancelToken, SilentProgress

OTHER = "raspberrypi5" if machine_arch() != "aarch64" else "intel-n100"


def profile(name: str) -> Profile:
    return load_profile(name).profile


# Another machine


def test_the_command_refuses_before_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--profile", OTHER, "--extra", "pack", "--output", str(tmp_path / "new" / "wheels")]) == 2
    printed = capsys.readouterr()
    assert f"make wheelhouse PROFILE={OTHER} EXTRA=pack" in printed.err
    assert not printed.out
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(platform.system() != "Linux", reason="the profile local is made on Linux")
@pytest.mark.parametrize(
    "options",
    [["--extra", "all"], ["--python", "no-such-python"], ["--accelerator"], ["--output", "/"], ["--output", "{full}"]],
)
def test_what_cannot_be_done_is_a_usage_error(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("keep me")
    words = [word.replace("{full}", str(tmp_path)) for word in options]
    output = [] if "--output" in words else ["--output", str(tmp_path / "wheels")]
    assert main(["--profile", "local", "--cache", str(tmp_path / "cache"), "--quiet", *words, *output]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_offline_does_not_start_pip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGELLM_OFFLINE", "1")
    monkeypatch.setattr(Pip, "run", lambda *_arguments: pytest.fail("pip was started"))
    assert main(["--profile", "local", "--output", str(tmp_path / "wheels"), "--cache", str(tmp_path / "cache")]) == 1
    assert "unset EDGELLM_OFFLINE" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        request = WheelhouseRequest(profile("local"), "local", tmp_path / "wheels", tmp_path / "cache")
        with pytest.raises(BusyError):
            build_wheelhouse(request, SilentProgress(), CancelToken())
    finally:
        os.close(descriptor)


def test_a_stopped_build_leaves_nothing(tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    request = WheelhouseRequest(profile("local"), "local", tmp_path / "out" / "wheels", tmp_path / "cache")
    with pytest.raises(Interrupted):
        build_wheelhouse(request, SilentProgress(), cancel)
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "cache").exists()


# pip


class Steps(SilentProgress):
    def __init__(self) -> None:
        self.phases: list[str] = []

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        self.phases.append(name)


def test_pip_says_why_it_failed_and_its_log_is_kept(tmp_path: Path) -> None:
    pip = Pip(Path(sys.executable), tmp_path / "log", SilentProgress(), CancelToken())
    with pytest.raises(BackendError, match="no-such-distribution"):
        pip.run(["wheel", "--no-index", "--wheel-dir", tmp_path, "no-such-distribution"])
    assert "no-such-distribution" in (tmp_path / "log").read_text()


def test_what_pip_does_is_progress(tmp_path: Path) -> None:
    program = tmp_path / "python"
    said = [
        "Collecting numpy>=1.26",
        "  Downloading numpy.whl",
        *(f"Building wheel for x (p): {w}" for w in ("a", "b")),
    ]
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in said))
    program.chmod(0o755)
    steps = Steps()
    Pip(program, tmp_path / "log", steps, CancelToken()).run(["wheel", "x"])
    assert steps.phases == ["fetching numpy", "building x"]
    assert (tmp_path / "log").read_text().splitlines() == said


def test_cancelling_ends_what_pip_started(tmp_path: Path) -> None:
    token = CancelToken()
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho Collecting sleep\nsleep 600 &\necho $! > {tmp_path}/pid\nwait\n")
    program.chmod(0o755)

    class StopAtFirst(SilentProgress):
        def phase(self, name: str, total_bytes: int | None = None) -> None:
            token.cancel()

    with pytest.raises(Interrupted):
        Pip(program, tmp_path / "log", StopAtFirst(), token).run(["wheel"])
    child = (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else ""
    deadline = time.monotonic() + 60
    while child.strip() and not _ended(int(child)):
        assert time.monotonic() < deadline, "what pip started still runs"
        time.sleep(0.01)


def _ended(process: int) -> bool:
    """True for no process, and for one that nobody has waited for yet."""
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_an_interpreter_without_pip_is_named(tmp_path: Path) -> None:
    program = tmp_path / "python"
    for script, kind in (("exit 1", UnsupportedError), ("echo 3 10", UsageError), ("echo hello", UnsupportedError)):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        with pytest.raises(kind, match=re.escape(str(program))):
            require_pip(program)
    assert require_pip(Path(sys.executable)) == f"{sys.version_info[0]}.{sys.version_info[1]}"


# The wheel of llama.cpp


def test_a_wheel_is_taken_from_the_cache_only_for_the_same_version_and_flags(tmp_path: Path) -> None:
    pip = Pip(tmp_path / "no-python", tmp_path / "log", SilentProgress(), CancelToken())
    kept = tmp_path / "cache" / "wheels"
    assert cached_llama_wheel(tmp_path / "cache", "1.0", "-DA=ON") is None
    (tmp_path / "scratch").mkdir()
    with pytest.raises(Exception, match="no-python"):
        build_llama_wheel(pip, "1.0", "-DA=ON", tmp_path / "cache", tmp_path / "scratch", SilentProgress())
    wheel = made_wheel(tmp_path / "built", "llama", {"x": b""})
    content = wheel.read_bytes()
    stored = keep_llama_wheel(wheel, tmp_path / "cache", "1.0", "-DA=ON")
    assert stored.read_bytes() == content
    assert build_llama_wheel(pip, "1.0", "-DA=ON", tmp_path / "cache", tmp_path, SilentProgress()) == stored
    assert cached_llama_wheel(tmp_path / "cache", "1.0", "-DA=OFF") is None
    assert cached_llama_wheel(tmp_path / "cache", "1.1", "-DA=ON") is None
    assert [path.name for path in kept.iterdir()] == [stored.parent.name]


LIBRARY = r"""
#if defined(__AVX512F__)
#define F512 1
#else
#define F512 0
#endif
#if defined(__AVX2__)
#define F2 1
#else
#define F2 0
#endif
int ggml_cpu_has_avx(void) { return F2; }
int ggml_cpu_has_avx2(void) { return F2; }
int ggml_cpu_has_fma(void) { return F2; }
int ggml_cpu_has_f16c(void) { return F2; }
int ggml_cpu_has_bmi2(void) { return F2; }
int ggml_cpu_has_avx512(void) { return F512 && !defined_silent; }
void scale(float * x, float s, int n) { for (int i = 0; i < n; ++i) x[i] = x[i] * s + 1.0f; }
"""


def llama_like_wheel(folder: Path, *flags: str, silent: bool = False) -> Path:
    """A wheel with a libggml-cpu that the compiler made with `flags`; a silent one does not report AVX-512."""
    if shutil.which("gcc") is None or machine_arch() != "x86_64":
        pytest.skip("needs gcc on x86-64")
    folder.mkdir()
    source, library = folder / "library.c", folder / "libggml-cpu.so"
    source.write_text(f"enum {{ defined_silent = {int(silent)} }};\n" + LIBRARY)
    subprocess.run(["gcc", "-O3", "-shared", "-fPIC", *flags, source, "-o", library], check=True)
    return made_wheel(folder / "wheel", "llama", {"llama_cpp/lib/libggml-cpu.so": library.read_bytes()})


V3 = ["-mavx", "-mavx2", "-mfma", "-mf16c", "-mbmi2", "-msse4.2"]
WIDE = [*V3, "-mavx512f", "-mprefer-vector-width=512"]


@pytest.mark.parametrize(
    ("flags", "silent", "said"),
    [
        (V3, False, None),
        (WIDE, False, "compiled for avx512f"),
        (WIDE, True, "instructions for avx512f"),
        ([], False, "compiled without avx, avx2, bmi2, f16c, fma"),
    ],
)
def test_a_library_that_does_not_keep_to_the_profile_is_refused(
    flags: list[str], silent: bool, said: str | None, tmp_path: Path
) -> None:
    if silent and shutil.which("objdump") is None:
        pytest.skip("needs objdump")
    wheel = llama_like_wheel(tmp_path / "built", *flags, silent=silent)
    device = profile("x86-laptop")
    if said is None:
        check_llama_wheel(wheel, device, tmp_path, SilentProgress())
        return
    with pytest.raises(IntegrityError, match=said):
        check_llama_wheel(wheel, device, tmp_path, SilentProgress())


def test_a_wheel_without_the_library_is_refused(tmp_path: Path) -> None:
    wheel = made_wheel(tmp_path / "w", "llama", {"llama_cpp/lib/other.so": b"", "../libggml-cpu.so": b"x"})
    with pytest.raises(IntegrityError, match="holds no libggml-cpu"):
        check_llama_wheel(wheel, profile("x86-laptop"), tmp_path, SilentProgress())


def test_instructions_of_another_arm_core_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = [shutil.which(f"aarch64-linux-gnu-{name}") for name in ("gcc", "objdump")]
    if None in tools:
        pytest.skip("needs aarch64-linux-gnu-gcc and its objdump")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "objdump").symlink_to(str(tools[1]))
    source = tmp_path / "dot.c"
    source.write_text(
        "int dot(const signed char * a, const signed char * b, int n) "
        "{ int s = 0; for (int i = 0; i < n; ++i) s += a[i] * b[i]; return s; }\n"
    )
    found = {}
    for arch in ("armv8-a", "armv8.2-a+dotprod"):
        library = tmp_path / f"{arch}.so"
        command = [str(tools[0]), "-O3", "-shared", "-fPIC", "-nostdlib", f"-march={arch}", source, "-o", library]
        subprocess.run(command, check=True)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        found[arch] = foreign_instructions(library, "aarch64", profile("raspberrypi4").cpu.features)
        monkeypatch.undo()
    assert found == {"armv8-a": [], "armv8.2-a+dotprod": ["asimddp"]}


# The files beside the wheels


def made_wheel(folder: Path, name: str, files: dict[str, bytes], version: str = "1.0") -> Path:
    """A small wheel that pip accepts, of the distribution edgellm-test-NAME."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"edgellm_test_{name}-{version}-py3-none-any.whl"
    information = f"edgellm_test_{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: edgellm-test-{name}\nVersion: {version}\n"
        )
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    return wheel


def test_pip_installs_with_the_hashes_and_sha256sum_agrees(tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    for name in ("b", "a"):
        made_wheel(folder, name, {f"edgellm_test_{name}.py": b"VALUE = 1\n"})
    write_wheel_files(folder, [("device", "a test"), ("python", "3.11")], "3.11")
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    names = [line.split("==")[0] for line in (folder / "requirements.txt").read_text().splitlines()]
    assert names == ["edgellm-test-a", "edgellm-test-b"]
    options = ["--no-index", "--find-links", ".", "--require-hashes", "--target", str(tmp_path / "site"), "--no-deps"]
    install = [sys.executable, "-m", "pip", "install", "--quiet", *options, "-r", "requirements.txt"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True)
    assert (tmp_path / "site" / "edgellm_test_a.py").is_file()

    made_wheel(folder, "a", {"edgellm_test_a.py": b"VALUE = 'changed on the way'\n"})
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, capture_output=True).returncode
    refused = subprocess.run([*install, "--upgrade"], cwd=folder, capture_output=True, text=True)
    assert "DO NOT MATCH THE HASHES" in refused.stderr


def test_the_instructions_have_the_commands_and_the_same_wheels_give_the_same_files(tmp_path: Path) -> None:
    made_wheel(tmp_path, "a", {})
    write_wheel_files(tmp_path, [("device", "a test")], "3.13")
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    text = first["INSTALL.txt"].decode()
    assert "device  a test" in text
    assert "python3.13 -m venv" in text
    assert "--no-index --find-links . --require-hashes -r requirements.txt" in text
    write_wheel_files(tmp_path, [("device", "a test")], "3.13")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_two_versions_of_one_distribution_are_refused(tmp_path: Path) -> None:
    for version in ("1.0", "1.1"):
        made_wheel(tmp_path, "a", {}, version)
    with pytest.raises(IntegrityError, match="two wheels of edgellm-test-a"):
        write_wheel_files(tmp_path, [], "3.11")
