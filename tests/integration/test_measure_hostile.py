"""Measuring this machine on a bad day: no memory, a crash, no disk, another one that measures."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import edgellm_runtimes.calibrate
from cli_process import Cli, read_until
from edgellm.cli.detect_command import detect
from edgellm.devices.calibration import Calibration
from edgellm.devices.repack import row_multiples
from edgellm.devices.topology import cpu_features
from edgellm.errors import AccessError, DoesNotFitError, NoSpaceError
from edgellm.progress import CancelToken, SilentProgress
from edgellm_runtimes.calibrate import measure as measure_types
from edgellm_runtimes.calibrate.sizes import child_bytes
from edgellm_runtimes.calibrate.synthetic import Shape
from tmpfs import make_read_only, tmpfs

SHAPES = (Shape(n_embd=512, n_ff=1536, n_layers=2), Shape(n_embd=256, n_ff=768, n_layers=2))
POLL_S = 0.01


class Messages(SilentProgress):
    """Keeps what is said; calls ``on_phase`` when something new is measured."""

    def __init__(self, on_phase: Callable[[str], None] = lambda _: None) -> None:
        self.said: list[str] = []
        self.phases: list[str] = []
        self._on_phase = on_phase

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        self.phases.append(name)
        self._on_phase(name)

    def message(self, text: str) -> None:
        self.said.append(text)


def measure(progress: Messages, *types: str) -> Calibration:
    """A short measurement of ``types``."""
    return measure_types(progress, CancelToken(), types=types, budget_s=0.02, rounds=1, shapes=SHAPES)


def forms(found: Calibration) -> list[tuple[str, bool]]:
    return [(kernel.type, kernel.repacked) for kernel in found.measured.kernels]


def expected(*types: str) -> list[tuple[str, bool]]:
    """Every form that these types have on this machine."""
    copied = row_multiples(cpu_features(Path("/")))
    return [(name, repacked) for name in types for repacked in (False, True) if not repacked or name in copied]


def kill_child_with(type_name: str) -> threading.Thread:
    """End the next child that times ``type_name`` as the kernel does when memory runs out."""

    def watch() -> None:
        while True:
            for child in psutil.Process().children():
                try:
                    if type_name in child.cmdline():
                        child.kill()
                        return
                except psutil.NoSuchProcess:
                    continue
            threading.Event().wait(POLL_S)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_type_whose_process_the_kernel_ends_is_left_out() -> None:
    watchers = []

    def on_phase(name: str) -> None:
        if "F16" in name:
            watchers.append(kill_child_with("F16"))

    progress = Messages(on_phase)
    assert forms(measure(progress, "F16", "Q4_0")) == expected("Q8_0", "Q4_0")
    for watcher in watchers:
        watcher.join()
    assert len(progress.said) == len(watchers) == 1
    assert progress.said[0].startswith("warning: F16 is left out")
    assert "SIGKILL" in progress.said[0]


def test_a_type_on_which_the_runtime_crashes_is_left_out() -> None:
    progress = Messages()
    found = measure(progress, "IQ2_XXS")  # ggml ends the process: it quantizes to this type with importances only
    assert forms(found) == expected("Q8_0")
    assert ["IQ2_XXS is left out" in text and "SIGABRT" in text for text in progress.said] == [True]


def limit_memory(monkeypatch: pytest.MonkeyPatch, free_bytes: int) -> None:
    """From now on this machine seems to have so much free memory."""
    module = importlib.import_module("edgellm_runtimes.calibrate.measure")
    monkeypatch.setattr(module, "available_memory_bytes", lambda: free_bytes)


def test_a_type_for_which_memory_is_too_small_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, child_bytes(SHAPES[0], "F16", False) - 1)
    progress = Messages()
    assert forms(measure(progress, "F16")) == expected("Q8_0")
    assert ["F16 is left out" in text and "are free" in text for text in progress.said] == [True]


def test_without_memory_for_the_first_type_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, child_bytes(SHAPES[0], "Q8_0", False) - 1)
    progress = Messages()
    with pytest.raises(DoesNotFitError, match="Q8_0 needs") as caught:
        measure(progress, "Q4_0")
    assert caught.value.hint == "close other programs"
    assert progress.phases == ["measure memory", "measure Q8_0, round 1 of 1"]


def test_a_limit_on_memory_is_an_error_that_says_so() -> None:
    code = """if True:
        import importlib, resource
        from edgellm.errors import BackendError
        from edgellm.progress import SilentProgress
        from edgellm_runtimes import _native
        module = importlib.import_module("edgellm_runtimes.calibrate.measure")
        module.available_memory_bytes = lambda: 1 << 31
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 20),) * 2)
        try:
            module._bandwidth(1, SilentProgress())
        except BackendError as error:
            print(error, error.hint)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "the speed of memory cannot be measured" in done.stdout
    assert "raise the limit" in done.stdout


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the state folder will lie."""
    monkeypatch.setenv("EDGELLM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EDGELLM_STATE", str(tmp_path / "disk" / "state"))
    return tmp_path / "disk"


def fill(folder: Path) -> Path:
    """Take all space."""
    filler, status = folder / "filler", os.statvfs(folder)
    filler.write_bytes(bytes(status.f_bavail * status.f_frsize))
    return filler


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_read_only_state_folder_is_refused_before_anything_is_measured(
    disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tmpfs(disk, "size=4m"):
        make_read_only(disk)
        with pytest.raises(AccessError, match=f"{disk / 'state'}.*Read-only") as caught:
            detect(measure=True, as_json=False, quiet=False)
    assert caught.value.hint
    assert capsys.readouterr().err == ""


def test_a_full_disk_is_refused_before_anything_is_measured(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tmpfs(disk, "size=4m"):
        fill(disk)
        with pytest.raises(NoSpaceError, match="the result needs"):
            detect(measure=True, as_json=False, quiet=False)
        assert [path.name for path in disk.iterdir()] == ["filler"]
    assert capsys.readouterr().err == ""


def test_a_disk_that_fills_up_meanwhile_leaves_the_old_result(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tmpfs(disk, "size=4m"):
        (disk / "state").mkdir()
        (disk / "state" / "calibration.json").write_bytes(b"the old one")

        def measure_and_fill(*arguments: object) -> Calibration:
            found = measure(Messages(), "Q8_0")
            fill(disk)
            return found

        monkeypatch.setattr(edgellm_runtimes.calibrate, "measure", measure_and_fill)
        with pytest.raises(NoSpaceError, match="No space left"):
            detect(measure=True, as_json=False, quiet=True)
        assert contents(disk / "state") == {"calibration.json": b"the old one"}


def test_of_two_at_once_the_second_waits_until_the_first_is_done_or_dead(cli: Cli) -> None:
    start = functools.partial(
        subprocess.Popen[bytes],
        cli.command("devices", "detect", "--measure"),
        env=cli.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    first, waits, gives_up = None, None, None
    try:
        first = start()
        read_until(first, b"measure Q8_0")
        waits, gives_up = start(), start()
        for process in (waits, gives_up):
            assert read_until(process, b"waiting") == [b"another process is measuring this machine; waiting\n"]
        gives_up.send_signal(signal.SIGINT)
        assert gives_up.wait(timeout=60) == 130
        assert waits.poll() is None
        first.kill()
        read_until(waits, b"measure memory")
        waits.send_signal(signal.SIGINT)
        assert waits.wait(timeout=60) == 130
    finally:
        for process in (first, waits, gives_up):
            if process is not None:
                process.kill()
                process.communicate()
    assert list((cli.home / "state").iterdir()) == []
