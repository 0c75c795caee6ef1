"""Does the native code load here, and was it built for this processor?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata

from edgellm.deploy.checks.finding import Finding, fine, problem, skipped, warning
from edgellm.deploy.checks.machine import NATIVE_MODULES, Machine
from edgellm.deploy.cpu_flags import cmake_args, compiled_features
from edgellm.devices.local import detect_local
from edgellm.devices.topology import cpu_features
from edgellm.errors import EdgeLLMError
from edgellm_runtimes.build_probe import StepResult

__all__ = ["check_native_modules", "check_processor", "check_runtime"]

_PACKAGE = "llama-cpp-python"
# What is worth compiling again for, in the words of /proc/cpuinfo.
_WORTH = {
    "avx": "AVX",
    "avx2": "AVX2",
    "fma": "FMA",
    "f16c": "F16C",
    "avx_vnni": "AVX-VNNI",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "asimddp": "dot products (asimddp)",
    "asimdhp": "half precision (asimdhp)",
    "i8mm": "8-bit matrices (i8mm)",
    "v": "vectors (RVV)",
}


def check_runtime(machine: Machine) -> Iterator[Finding]:
    """Is llama.cpp there, in a version that we know, and can it be loaded and run?"""
    version = machine.version_of(_PACKAGE)
    if version is None:
        yield problem("llama.cpp", f"{_PACKAGE} is not installed", _rebuild(machine))
        return
    for name, doing in (("llama.cpp", "being loaded"), ("kernels", "its first multiplication")):
        step = machine.build.step(name)
        if step is not None and step.error:
            yield problem("llama.cpp", _why(machine, f"{_PACKAGE} {version}", step, doing), _rebuild(machine))
            return
    wanted = _requirement()
    if not _meets(version, wanted):
        yield problem(
            "llama.cpp",
            f"{_PACKAGE} {version} is installed; this edgellm is made for {wanted}",
            _rebuild(machine),
        )
        return
    yield fine("llama.cpp", f"{_PACKAGE} {version} loads and computes")


def check_processor(machine: Machine) -> Iterator[Finding]:
    """Compare what llama.cpp was compiled to use with what the processor has, both ways."""
    step = machine.build.step("llama.cpp")
    if machine.build.features is None or step is None:
        yield skipped("processor", "llama.cpp did not say what it was built for")
        return
    here = set(cpu_features(machine.root))
    if not here:
        yield skipped("processor", "this system does not say what its processor can do")
        return
    used = compiled_features(machine.build.features)
    missing = sorted(used - here)
    unused = [words for feature, words in _WORTH.items() if feature in here and feature not in used]
    if missing:
        yield problem(
            "processor",
            f"llama.cpp was built to use {', '.join(missing)}, which this processor does not have: "
            "a model ends with an illegal instruction",
            _rebuild(machine),
        )
    elif unused:
        yield warning(
            "processor",
            f"llama.cpp was built without {', '.join(unused)}, which this processor has: "
            "it computes more slowly than it could",
            _rebuild(machine),
        )
    else:
        common = [words for feature, words in _WORTH.items() if feature in used] or ["the baseline"]
        yield fine("processor", f"llama.cpp uses what this processor has: {', '.join(common)}")


def check_native_modules(machine: Machine) -> Iterator[Finding]:
    """Do edgellm's own compiled modules load?"""
    for name in NATIVE_MODULES:
        step = machine.build.step(name)
        if step is not None and step.error:
            yield problem(
                "edgellm's modules",
                _why(machine, name, step, "being loaded"),
                machine.pip_install("--force-reinstall --no-cache-dir --no-deps edgellm"),
            )
            return
    if all(machine.build.step(name) is not None for name in NATIVE_MODULES):
        yield fine("edgellm's modules", "the compiled modules load")
    else:
        yield skipped("edgellm's modules", "the process that loads them did not get that far")


def _why(machine: Machine, what: str, step: StepResult, doing: str) -> str:
    if step.signal == "SIGILL":
        missing = sorted(compiled_features(machine.build.features or ()) - set(cpu_features(machine.root)))
        cause = f": it uses {', '.join(missing)}" if missing and step.name in ("llama.cpp", "kernels") else ""
        return f"{what} ends with an illegal instruction (SIGILL) in {doing}: built for another processor{cause}"
    if step.signal:
        return f"{what} crashes ({step.signal}) in {doing}"
    return f"{what} cannot be used: {step.error}"


def _rebuild(machine: Machine) -> str:
    """The command that compiles llama.cpp for exactly this processor."""
    try:
        flags = f'CMAKE_ARGS="{cmake_args(detect_local(machine.root, machine=machine.architecture))}" '
    except EdgeLLMError:
        flags = ""  # llama.cpp then asks the compiler what this processor has
    options = f"--force-reinstall --no-cache-dir --no-deps --no-binary {_PACKAGE}"
    return flags + machine.pip_install(f'{options} "{_requirement()}"')


def _requirement() -> str:
    """The version of llama-cpp-python that this edgellm asks for, as it was installed."""
    try:
        found = metadata.requires("edgellm") or []
    except metadata.PackageNotFoundError:
        found = []
    texts = (text.partition(";")[0].replace(" ", "") for text in found)
    return next((text for text in texts if re.match(rf"{_PACKAGE}\b", text)), _PACKAGE)


def _meets(version: str, requirement: str) -> bool:
    """Compares the bounds ``>=`` and ``<``; other kinds are not ours."""
    bounds = re.findall(r"(>=|<)([0-9.]+)", requirement)
    return all((_numbers(version) >= _numbers(bound)) is (sign == ">=") for sign, bound in bounds)


def _numbers(text: str) -> tuple[int, ...]:
    parts = [int(part) for part in re.match(r"[0-9.]*", text)[0].split(".") if part]  # type: ignore[index]
    return tuple([*parts, 0, 0, 0][:3])
