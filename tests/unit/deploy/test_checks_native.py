"""The native code against the processor, with a real child process that ends as the test wants."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_machine import PI4_FEATURES, PI5_FEATURES, X86_BUILD, arm, build_child, fake_machine, x86

from edgellm.deploy.checks.finding import Finding
from edgellm.deploy.checks.machine import Machine, Python
from edgellm.deploy.checks.native import check_native_modules, check_processor, check_runtime
from edgellm.deploy.checks.python import check_python

DIE = "os.kill(os.getpid(), signal.{})"


def one(findings: object) -> Finding:
    (finding,) = list(findings)  # type: ignore[call-overload]
    return finding


def test_a_build_for_this_processor_is_fine(tmp_path: Path) -> None:
    machine = fake_machine(tmp_path)
    assert [one(check(machine)).status for check in (check_runtime, check_processor, check_native_modules)] == [
        "ok"
    ] * 3


def test_an_illegal_instruction_is_named_with_its_cause_and_the_way_out(tmp_path: Path) -> None:
    child = build_child([*X86_BUILD, "avx512"], until="llama.cpp", end=DIE.format("SIGILL"))
    machine = fake_machine(tmp_path, build_command=child)
    found = one(check_runtime(machine))
    assert found.status == "problem"
    assert "SIGILL" in found.message
    assert "avx512f" in found.message
    assert found.fix is not None
    assert "-DGGML_NATIVE=OFF" in found.fix
    assert "-DGGML_AVX2=ON" in found.fix
    assert "-DGGML_AVX512=OFF" in found.fix
    assert "--force-reinstall --no-cache-dir" in found.fix


def test_an_illegal_instruction_in_the_kernels_is_found_although_loading_went_well(tmp_path: Path) -> None:
    machine = fake_machine(tmp_path, build_command=build_child(X86_BUILD, until="kernels", end=DIE.format("SIGILL")))
    found = one(check_runtime(machine))
    assert (found.status, "SIGILL" in found.message) == ("problem", True)


def test_any_other_crash_is_told_as_what_it_is(tmp_path: Path) -> None:
    machine = fake_machine(tmp_path, build_command=build_child(None, until="llama.cpp", end=DIE.format("SIGSEGV")))
    found = one(check_runtime(machine))
    assert "crashes (SIGSEGV)" in found.message
    assert one(check_processor(machine)).status == "skipped"


def test_a_pi_5_wheel_on_a_pi_4_is_found_before_it_crashes(tmp_path: Path) -> None:
    child = build_child(["neon", "dotprod", "fp16_va"])
    machine = fake_machine(tmp_path, arm(PI4_FEATURES), architecture="aarch64", build_command=child)
    found = one(check_processor(machine))
    assert found.status == "problem"
    assert "asimddp" in found.message
    assert found.fix is not None
    assert '"-DGGML_NATIVE=OFF -DGGML_CPU_ARM_ARCH=armv8-a"' in found.fix


def test_a_generic_wheel_on_a_pi_5_gets_the_command_that_uses_its_dot_products(tmp_path: Path) -> None:
    machine = fake_machine(
        tmp_path, arm(PI5_FEATURES), architecture="aarch64", build_command=build_child(["neon", "arm_fma"])
    )
    found = one(check_processor(machine))
    assert found.status == "warning"
    assert "dot products" in found.message
    assert found.fix is not None
    assert "-DGGML_CPU_ARM_ARCH=armv8.2-a+dotprod+fp16" in found.fix


def test_a_processor_that_hides_its_features_is_not_judged(tmp_path: Path) -> None:
    machine = fake_machine(tmp_path, {"proc/cpuinfo": "processor\t: 0\n"})
    assert one(check_processor(machine)).status == "skipped"


def test_features_that_llama_cpp_has_no_code_for_are_no_reason_to_build_again(tmp_path: Path) -> None:
    machine = fake_machine(tmp_path, x86("sse4_2 avx avx2 f16c fma bmi2 gfni vaes sha_ni"))
    assert one(check_processor(machine)).status == "ok"


@pytest.mark.parametrize(
    ("version", "status"), [("0.3.36", "ok"), ("0.3.100", "ok"), ("0.3.9", "problem"), ("0.4.0", "problem")]
)
def test_the_version_is_compared_with_what_we_ask_for(tmp_path: Path, version: str, status: str) -> None:
    machine = fake_machine(tmp_path, version_of={"llama-cpp-python": version}.get)
    assert one(check_runtime(machine)).status == status


def test_a_missing_runtime_is_a_problem_with_the_command_that_installs_it(tmp_path: Path) -> None:
    found = one(check_runtime(fake_machine(tmp_path, version_of=lambda _name: None)))
    assert (found.status, "pip install" in (found.fix or "")) == ("problem", True)


def test_an_environment_without_pip_is_told_the_command_of_uv(tmp_path: Path) -> None:
    python = Python(has_pip=False, executable="/home/a b/bin/python")
    found = one(check_runtime(fake_machine(tmp_path, python=python, version_of=lambda _name: None)))
    assert "uv pip install --python '/home/a b/bin/python'" in (found.fix or "")


def test_our_own_module_that_crashes_is_reinstalled(tmp_path: Path) -> None:
    child = build_child(None, until="edgellm_runtimes._native", end=DIE.format("SIGILL"))
    machine = fake_machine(tmp_path, build_command=child)
    found = one(check_native_modules(machine))
    assert (found.status, "SIGILL" in found.message) == ("problem", True)
    assert (found.fix or "").endswith("--no-deps edgellm")


@pytest.mark.parametrize(
    ("python", "status", "words"),
    [
        (Python(version=(3, 11, 2), in_venv=True), "ok", "3.11.2"),
        (Python(version=(3, 9, 2)), "problem", "3.11 or newer"),
        (Python(bits=32), "problem", "32-bit"),
        (Python(implementation="pypy"), "warning", "CPython"),
    ],
)
def test_the_interpreter_is_looked_at(tmp_path: Path, python: Python, status: str, words: str) -> None:
    found = one(check_python(fake_machine(tmp_path, python=python)))
    assert (found.status, words in found.message) == (status, True)


def test_the_systems_own_python_is_warned_about(tmp_path: Path) -> None:
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    managed = Python(in_venv=False, stdlib=tmp_path)
    assert one(check_python(fake_machine(tmp_path, python=managed))).status == "warning"
    alone = Python(in_venv=False, stdlib=tmp_path / "other")
    assert one(check_python(fake_machine(tmp_path, python=alone))).status == "ok"


def test_the_real_machine_runs_what_is_installed_on_it() -> None:
    machine = Machine()
    assert [one(check(machine)).status for check in (check_runtime, check_native_modules)] == ["ok", "ok"]
