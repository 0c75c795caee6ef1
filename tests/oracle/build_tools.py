"""Builds llama.cpp's tools from the source that the installed llama-cpp-python vendors, once, for the oracle tests.

usage: python tests/oracle/build_tools.py [--serving] [--jobs N] [--force]

pip brings the source archive; cmake compiles it with the flags of the Python package's own build (Release,
GGML_NATIVE), so that both sides of a comparison run the same ggml. Everything happens in a temporary folder that is
renamed when whole: an interrupted build leaves nothing that a test would use. A second builder waits for the first.

--serving adds what the serving benchmark compares with: llama-server, llama-batched-bench and the example server in
Python. Where tools without them are there already, all are built again, with the same flags.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from oracle_tools import DONE, SCRIPTS, SERVING_TOOLS, TOOLS, cache_folder, is_built, python_server

DISTRIBUTION = "llama-cpp-python"
MINUTES, SERVING_MINUTES = 5, 8
DISK_MB = 700  # while it builds
KEPT_SOURCE = (*SCRIPTS, "conversion", "gguf-py", "models", "LICENSE")
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "CMAKE_BUILD_RPATH_USE_ORIGIN": "ON",
    "BUILD_SHARED_LIBS": "ON",
    "GGML_NATIVE": "ON",
    "LLAMA_CURL": "OFF",
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    "LLAMA_BUILD_APP": "OFF",
}
STEP = re.compile(r"\[\s*(\d+)(/|%)")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one builder at a time; the lock ends with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another build is running: waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(command: list[str], log: Path, cwd: Path | None = None) -> None:
    """Run a command with its output in `log`, a line of progress every ten seconds; SystemExit when it fails."""
    started = shown = time.monotonic()
    with (
        log.open("a", encoding="utf-8", errors="replace") as out,
        subprocess.Popen(
            command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            out.write(line)
            now = time.monotonic()
            if STEP.match(line) and now - shown >= 10:
                shown = now
                print(f"  {line.strip()[:100]}  ({now - started:.0f} s)", flush=True)
    if process.returncode != 0:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:]
        print("\n".join(tail), file=sys.stderr)
        raise SystemExit(f"error: {command[0]} failed with status {process.returncode}")


def fetch_source(work: Path) -> Path:
    """The unpacked llama.cpp folder of the source archive. pip checks the archive; its paths are checked here."""
    print(f"fetching the source of {DISTRIBUTION} {version(DISTRIBUTION)} with pip (about 77 MB)", flush=True)
    requirement = f"{DISTRIBUTION}=={version(DISTRIBUTION)}"
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    run([*command, "--no-binary", DISTRIBUTION, "--dest", str(work), requirement], work / "fetch.log")
    (archive,) = work.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(work / "sdist", filter="data")
    archive.unlink()
    (vendored,) = (work / "sdist").glob("*/vendor/llama.cpp")
    return vendored


def build(source: Path, work: Path, jobs: int, tools: tuple[str, ...]) -> Path:
    """Compile the tools and return the folder of programs and libraries."""
    build_folder = work / "build"
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    options = OPTIONS | ({"LLAMA_BUILD_SERVER": "ON"} if "llama-server" in tools else {})
    definitions = [f"-D{name}={value}" for name, value in options.items()]
    print(f"compiling {', '.join(tools)} with {jobs} jobs", flush=True)
    run(["cmake", "-S", str(source), "-B", str(build_folder), *generator, *definitions], work / "configure.log")
    command = ["cmake", "--build", str(build_folder), "--parallel", str(jobs), "--target", *tools]
    run(command, work / "compile.log")
    return build_folder / "bin"


def install(source: Path, programs: Path, target: Path, tools: tuple[str, ...]) -> None:
    """Keep what the tests use, in a folder that appears whole."""
    whole = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        shutil.copytree(programs, whole / "bin", symlinks=True)
        (whole / "source").mkdir()
        for name in KEPT_SOURCE:
            origin = source / name
            if origin.is_dir():
                shutil.copytree(origin, whole / "source" / name)
            else:
                shutil.copy2(origin, whole / "source" / name)
        if "llama-server" in tools:
            server = python_server().relative_to(target)
            (whole / server).parent.mkdir(parents=True)
            shutil.copy2(source.parent.parent / server, whole / server)
        for tool in tools:
            tried = subprocess.run([whole / "bin" / tool, "--help"], capture_output=True, check=False, timeout=60)
            if tried.returncode not in (0, 1):  # 127: a library is missing; negative: it crashed
                raise SystemExit(f"error: {tool} --help ended with status {tried.returncode}")
        (whole / DONE).write_text(version(DISTRIBUTION) + "\n", encoding="ascii")
        replaced = Path(tempfile.mkdtemp(prefix=".old-", dir=target.parent))
        if target.exists():
            target.rename(replaced / "tools")  # a test that starts a tool now waits for one rename, not for a removal
        whole.rename(target)
        shutil.rmtree(replaced)
    except BaseException:
        shutil.rmtree(whole, ignore_errors=True)
        raise


def main() -> None:
    parser = argparse.ArgumentParser(description="Build llama.cpp's tools for the oracle tests, once.")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--serving", action="store_true", help="also what the serving benchmark compares with")
    parser.add_argument("--force", action="store_true", help="build even when a finished build is there")
    arguments = parser.parse_args()
    target = cache_folder()
    with locked(target.parent):
        if is_built(serving=arguments.serving) and not arguments.force:
            print(f"llama.cpp's tools are in {target}")
            return
        for program in ("cmake", "c++"):
            if shutil.which(program) is None:
                raise SystemExit(
                    f"error: {program} was not found\nhint: install a C++ compiler, and `pip install cmake`"
                )
        serving = arguments.serving or is_built(serving=True)  # --force takes nothing away
        tools = TOOLS + SERVING_TOOLS if serving else TOOLS
        minutes = SERVING_MINUTES if serving else MINUTES
        print(f"building llama.cpp's tools: about {minutes} minutes and {DISK_MB} MB, once", flush=True)
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent) as folder:
            source = fetch_source(Path(folder))
            install(source, build(source, Path(folder), arguments.jobs, tools), target, tools)
        print(f"done in {time.monotonic() - started:.0f} s: {target}")


if __name__ == "__main__":
    main()
