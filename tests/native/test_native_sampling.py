"""The sampling kernels by themselves: clean for sanitizers, valgrind and fuzzers, the same bits on every processor."""

from __future__ import annotations

import os
import random
import shutil
from functools import cache
from pathlib import Path

import pytest
from native_build import HERE, SANITIZE, WARNINGS, digests_by_tier, require_compiler, require_sanitizers, run
from sampling_build import SAMPLING, Builds, module_sources

# Seed, cases for each group, longest row: every vocabulary of the driver at least once in each group. A larger second
# number is a longer run of the same kind.
SMALL = ("1", "20")
SMALLER = ("1", "10", "32000")
FUZZ_INPUTS = "1000"
CROSS = [
    ("aarch64-linux-gnu-g++", "qemu-aarch64", "neon", ("1", "10")),
    ("riscv64-linux-gnu-g++", "qemu-riscv64", "scalar", SMALLER),
]
CROSS_FLAGS = ["-static"]
GCC_SANITIZED = [*SANITIZE, "-g1"]
THREAD_SANITIZER = ["-O1", "-g1", "-fsanitize=thread"]
FOR_FUZZER = [*SANITIZE, "-fsanitize=fuzzer-no-link"]
MAKES_UP_INPUTS = "-DEDGELLM_PLAIN_MAIN"


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Builds:
    """The programs, built once for all test processes of a run."""
    folder = tmp_path_factory.getbasetemp()
    return Builds((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "sampling-builds")


@cache
def expected(builds: Builds, arguments: tuple[str, ...]) -> dict[str, list[str]]:
    """What the kernels print as the wheel has them."""
    return digests_by_tier(run([builds.driver(require_compiler("g++")), *arguments]))


def test_every_instruction_set_gives_the_same_bits(builds: Builds) -> None:
    tiers = expected(builds, SMALL)
    assert len({tuple(lines) for lines in tiers.values()}) == 1
    cpuinfo = Path("/proc/cpuinfo")
    features = cpuinfo.read_text().split() if cpuinfo.exists() else []
    if any(path.name == "kernels_avx2.cpp" for path, _ in module_sources(require_compiler("g++"))):
        wanted = {"sse2": "sse2", "avx2": "avx2", "avx512": "avx512bw"}
        assert tiers.keys() == {tier for tier, feature in wanted.items() if feature in features}


def test_the_digests_stand_for_something(builds: Builds) -> None:
    first, other = (next(iter(expected(builds, (seed, "10")).values())) for seed in ("1", "2"))
    for line, different in zip(first, other, strict=True):
        group, digest, tokens, kept = line.split()
        assert int(tokens) > 10
        assert int(kept) >= int(tokens) or group == "batch"
        assert different.split()[:2] != [group, digest]


@pytest.mark.parametrize(
    ("name", "flags"),
    [("clang++", []), ("g++", GCC_SANITIZED), ("clang++", FOR_FUZZER)],
    ids=["clang++", "g++ sanitized", "clang++ sanitized"],
)
def test_no_build_warns_or_finds_fault_or_gives_other_bits(
    name: str, flags: list[str], builds: Builds, tmp_path: Path
) -> None:
    compiler = require_compiler(name)
    if flags:
        require_sanitizers(compiler, tmp_path, flags)
    assert digests_by_tier(run([builds.driver(compiler, flags), *SMALL])) == expected(builds, SMALL)


@pytest.mark.parametrize(("cross", "emulator", "tier", "arguments"), CROSS)
def test_another_processor_gives_the_same_bits(
    cross: str, emulator: str, tier: str, arguments: tuple[str, ...], builds: Builds
) -> None:
    compiler = require_compiler(cross)
    driver = builds.driver(compiler, CROSS_FLAGS)
    machine = shutil.which(emulator)
    if machine is None:
        pytest.skip(f"compiled without a warning, but needs the emulator {emulator} to run")
    lines = next(iter(expected(builds, arguments).values()))
    assert digests_by_tier(run([machine, driver, *arguments])) == {tier: lines}


def test_made_up_inputs_give_the_same_bits_on_arm(builds: Builds) -> None:
    compiler, machine = require_compiler("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    if machine is None:
        pytest.skip("needs the emulator qemu-aarch64")
    native = builds.fuzzer(require_compiler("g++"), (), MAKES_UP_INPUTS)
    emulated = builds.fuzzer(compiler, CROSS_FLAGS, MAKES_UP_INPUTS)
    assert run([machine, emulated, "1", FUZZ_INPUTS]) == run([native, "1", FUZZ_INPUTS])


@pytest.mark.parametrize("flags", [[], ["-mavx2", "-mfma"]], ids=["baseline", "fused"])
def test_a_fused_sum_is_rounded_once(flags: list[str], tmp_path: Path) -> None:
    compiler, program = require_compiler("g++"), tmp_path / "lanes"
    features = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    if flags and "fma" not in features:
        pytest.skip("needs a processor with FMA")
    source = HERE / "sampling_lanes.cpp"
    run([compiler, "-std=c++17", "-O2", "-ffp-contract=off", *WARNINGS, *flags, f"-I{SAMPLING}", source, "-o", program])
    assert int(run([program])) >= 2_000_000


def test_valgrind_finds_no_error(builds: Builds) -> None:
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        pytest.skip("needs valgrind")
    driver = builds.driver(require_compiler("g++"))
    options = ["-q", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite"]
    found = digests_by_tier(run([valgrind, *options, driver, *SMALLER]))
    tiers = expected(builds, SMALLER)
    # Valgrind hides from a program what it cannot run itself: AVX-512, in 3.19.
    assert found == {tier: tiers[tier] for tier in found}
    assert found.keys() >= tiers.keys() - {"avx512"}


def test_threads_do_not_race(builds: Builds, tmp_path: Path) -> None:
    compiler = require_compiler("g++")
    require_sanitizers(compiler, tmp_path, THREAD_SANITIZER)
    found = digests_by_tier(run([builds.driver(compiler, THREAD_SANITIZER), "1", "0"]))  # the batches alone
    assert [lines[-1] for lines in found.values()] == [lines[-1] for lines in expected(builds, ("1", "0")).values()]


def test_made_up_inputs_break_no_promise(builds: Builds, tmp_path: Path) -> None:
    compiler = require_compiler("g++")
    require_sanitizers(compiler, tmp_path)
    sanitized, plain = (builds.fuzzer(compiler, flags, MAKES_UP_INPUTS) for flags in (GCC_SANITIZED, []))
    assert run([sanitized, "2", FUZZ_INPUTS]) == run([plain, "2", FUZZ_INPUTS])


def test_a_fuzzer_finds_no_broken_promise(builds: Builds, tmp_path: Path) -> None:
    compiler = require_compiler("clang++")
    require_sanitizers(compiler, tmp_path, FOR_FUZZER)
    target = tmp_path / "target.cpp"
    target.write_text('extern "C" int LLVMFuzzerTestOneInput(const unsigned char *, unsigned long) { return 0; }\n')
    try:
        run([compiler, "-fsanitize=fuzzer", target, "-o", tmp_path / "target"])
    except AssertionError:
        pytest.skip("needs a clang++ with libFuzzer")
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    made_up = random.Random(1)
    for number in range(64):
        (seeds / str(number)).write_bytes(made_up.randbytes(made_up.randrange(600)))
    fuzzer = builds.fuzzer(compiler, FOR_FUZZER, "-fsanitize=fuzzer")
    options = [f"-runs={FUZZ_INPUTS}", "-seed=1", "-max_len=600", "-len_control=0", f"-artifact_prefix={tmp_path}/"]
    run([fuzzer, *options, seeds])
