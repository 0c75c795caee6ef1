"""The C++ sources by themselves: no warnings, nothing for the sanitizers, the same bytes on every processor."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import pytest
from native_build import (
    CONVERTERS,
    HERE,
    RUNTIMES,
    SANITIZE,
    WARNINGS,
    build_kernels_driver,
    build_runtime_driver,
    digests_by_tier,
    kernel_sources,
    require_compiler,
    require_sanitizers,
    run,
)

COMPILERS = ["g++", "clang++"]
CROSS = [("aarch64-linux-gnu-g++", "qemu-aarch64"), ("riscv64-linux-gnu-g++", "qemu-riscv64")]


@pytest.fixture(scope="session")
def plain_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernels as the wheel has them."""
    return build_kernels_driver(require_compiler("g++"), tmp_path_factory.mktemp("native") / "plain")


@pytest.mark.parametrize("name", COMPILERS)
def test_the_sanitizers_find_nothing_and_change_no_byte(name: str, plain_driver: Path, tmp_path: Path) -> None:
    compiler = require_compiler(name)
    require_sanitizers(compiler, tmp_path)
    sanitized = run([build_kernels_driver(compiler, tmp_path / "sanitized", SANITIZE)])
    plain = run([plain_driver])
    assert sanitized.splitlines() == plain.splitlines()
    tiers = digests_by_tier(plain)
    assert "baseline" in tiers
    for tier, lines in tiers.items():
        assert lines == tiers["baseline"], tier


def test_the_digests_stand_for_something(plain_driver: Path) -> None:
    first, other = (digests_by_tier(run([plain_driver, seed, "2"]))["baseline"] for seed in ("1", "2"))
    counts = {tuple(line.split()[:2]): [int(word) for word in line.split()[3:]] for line in first}
    for type_name in ("Q4_K", "Q5_K", "Q6_K"):
        written, left = counts[type_name, "bell"]
        assert written > 0
        assert left == 0
        assert counts[type_name, "not-finite"][1] > 0
    alike = {tuple(a.split()[:2]) for a, b in zip(first, other, strict=True) if a == b}
    all_zero = {"zeros", "subnormal"}
    assert all(kind in all_zero or counts[type_name, kind][0] == 0 for type_name, kind in alike)


@pytest.mark.parametrize("name", COMPILERS)
def test_stop_flag_features_and_halves_are_clean_under_the_sanitizers(name: str, tmp_path: Path) -> None:
    compiler = require_compiler(name)
    require_sanitizers(compiler, tmp_path)
    run([build_runtime_driver(compiler, tmp_path / "driver", SANITIZE)])


@pytest.mark.parametrize(("cross", "emulator"), CROSS)
def test_another_processor_writes_the_same_bytes(cross: str, emulator: str, plain_driver: Path, tmp_path: Path) -> None:
    compiler = require_compiler(cross)
    machine = shutil.which(emulator)
    if machine is None:
        pytest.skip(f"needs the emulator {emulator}")
    assert [source.name for source, _ in kernel_sources(compiler)] == ["kernels_baseline.cpp"]
    driver = build_kernels_driver(compiler, tmp_path / "cross", ["-static"])
    expected, emulated = (digests_by_tier(run([*command, "1", "1"])) for command in ([plain_driver], [machine, driver]))
    assert emulated == {"baseline": expected["baseline"]}
    run([machine, build_runtime_driver(compiler, tmp_path / "runtime", ["-static"])])


@pytest.mark.parametrize("name", [*COMPILERS, *(cross for cross, _ in CROSS)])
def test_no_source_of_the_modules_makes_a_compiler_warn(name: str) -> None:
    compiler = require_compiler(name)
    nanobind = pytest.importorskip("nanobind", reason="needs nanobind's headers")
    python = Path(sysconfig.get_path("include"))
    if not (python / "Python.h").is_file():
        pytest.skip("needs Python's headers")
    system = [f"-isystem{nanobind.include_dir()}", f"-isystem{python}"]
    for folder in (CONVERTERS, RUNTIMES, RUNTIMES / "sampling"):
        run([compiler, "-std=c++17", *WARNINGS, *system, "-fsyntax-only", folder / "module.cpp"])


def test_every_source_is_compiled_here() -> None:
    sources = {path.name for folder in (CONVERTERS, RUNTIMES) for path in folder.glob("*.cpp")}
    kernels = {path.name for path in CONVERTERS.glob("kernels_*.cpp")}
    assert sources - kernels == {"module.cpp", "cpu_features.cpp", "bandwidth.cpp"}
    ours = {path.name for path in HERE.glob("*.cpp") if not path.name.startswith("sampling")}
    assert ours == {"kernels_driver.cpp", "runtime_driver.cpp", "counted_new.cpp"}
