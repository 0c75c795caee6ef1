"""The CMake options that build llama.cpp for a device profile's processor and not for the machine that compiles.

The names are those of llama.cpp's ggml/CMakeLists.txt and ggml/src/ggml-cpu/CMakeLists.txt (ggml 0.25.3). GGML_NATIVE
is always OFF: with it the compiler takes whatever the building machine has, and the device may die of an illegal
instruction. Without any option llama.cpp builds for plain ARMv8.0, which costs a Raspberry Pi 5 its dot products.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from edgellm.devices.profile import Cpu, Profile
from edgellm.errors import ProfileError, UsageError

__all__ = ["REPORTED", "arm_arch", "cmake_args", "cmake_options", "compiled_features"]

# Option -> the features of /proc/cpuinfo that it makes the compiler use. Every x86-64 processor with AVX512BW and
# AVX512VL also has AVX512CD and AVX512DQ, which GGML_AVX512 turns on too.
_X86 = {
    "GGML_SSE42": ("sse4_2",),
    "GGML_AVX": ("avx",),
    "GGML_F16C": ("f16c",),
    "GGML_FMA": ("fma",),
    "GGML_AVX2": ("avx2",),
    "GGML_BMI2": ("bmi2",),
    "GGML_AVX_VNNI": ("avx_vnni",),
    "GGML_AVX512": ("avx512f", "avx512bw", "avx512vl"),
    "GGML_AVX512_VBMI": ("avx512vbmi",),
    "GGML_AVX512_VNNI": ("avx512_vnni",),
    "GGML_AVX512_BF16": ("avx512_bf16",),
    "GGML_AMX_TILE": ("amx_tile",),
    "GGML_AMX_INT8": ("amx_tile", "amx_int8"),
    "GGML_AMX_BF16": ("amx_tile", "amx_bf16"),
}
_RISCV = {
    "GGML_RVV": ("v",),
    "GGML_RV_ZFH": ("zfh",),
    "GGML_RV_ZVFH": ("v", "zvfh"),
    "GGML_RV_ZICBOP": ("zicbop",),
    "GGML_RV_ZIHINTPAUSE": ("zihintpause",),
    "GGML_RV_ZVFBFWMA": ("v", "zvfbfwma"),
}
_ARMV8_2 = {"atomics", "asimdrdm", "crc32"}  # what a compiler may use once it is told armv8.2-a
_ARM = {  # extension of -march -> features; only what ggml has kernels for
    "dotprod": ("asimddp",),
    "fp16": ("fphp", "asimdhp"),
    "i8mm": ("i8mm",),
    "sve": ("sve",),
    "sme": ("sme",),
}
# What a built library says of itself, ggml_cpu_has_<name>() -> the features that it then needs.
REPORTED = {
    "avx": ("avx",),
    "avx_vnni": ("avx_vnni",),
    "avx2": ("avx2",),
    "f16c": ("f16c",),
    "fma": ("fma",),
    "bmi2": ("bmi2",),
    "avx512": ("avx512f",),
    "avx512_vbmi": ("avx512vbmi",),
    "avx512_vnni": ("avx512_vnni",),
    "avx512_bf16": ("avx512_bf16",),
    "amx_int8": ("amx_int8",),
    "fp16_va": ("asimdhp",),
    "dotprod": ("asimddp",),
    "matmul_int8": ("i8mm",),
    "sve": ("sve",),
    "sme": ("sme",),
    "riscv_v": ("v",),
}


def cmake_args(profile: Profile, *, accelerator: bool = False) -> str:
    """The value of CMAKE_ARGS for building llama-cpp-python for ``profile``, with its accelerator on request.

    Raises UsageError when the profile has no accelerator, ProfileError when its build flag is not CMake options.
    """
    options = cmake_options(profile, accelerator=accelerator)
    return " ".join(f"-D{name}={value}" for name, value in options.items())


def cmake_options(profile: Profile, *, accelerator: bool = False) -> dict[str, str]:
    """The same as (option, value), in a fixed order."""
    options = {"GGML_NATIVE": "OFF"} | _cpu_options(profile.cpu)
    return options | _accelerator_options(profile) if accelerator else options


def arm_arch(features: Iterable[str]) -> str:
    """What -march must say for an ARM core with these features: ``armv8.2-a+dotprod+fp16`` for a Cortex-A76."""
    have = set(features)
    base = "armv8.2-a" if have >= _ARMV8_2 else "armv8-a"
    return "+".join([base, *(name for name, needed in _ARM.items() if have.issuperset(needed))])


def compiled_features(reported: Iterable[str]) -> set[str]:
    """What a library needs that answers yes to these ggml_cpu_has_ names, in the words of /proc/cpuinfo."""
    return {feature for name in reported for feature in REPORTED.get(name.lower(), ())}


def _cpu_options(cpu: Cpu) -> dict[str, str]:
    have = set(cpu.features)
    if cpu.arch == "aarch64":
        return {"GGML_CPU_ARM_ARCH": arm_arch(have)}
    table = _X86 if cpu.arch == "x86_64" else _RISCV
    return {name: "ON" if have.issuperset(needed) else "OFF" for name, needed in table.items()}


def _accelerator_options(profile: Profile) -> dict[str, str]:
    if profile.accelerator is None:
        raise UsageError(f"{profile.name} has no accelerator in its profile", hint="leave out --accelerator")
    try:
        words = shlex.split(profile.accelerator.build_flag)
    except ValueError:
        words = [profile.accelerator.build_flag]
    options = {}
    for word in " ".join(word.removeprefix("CMAKE_ARGS=") for word in words).split():
        found = re.fullmatch(r"-D([A-Z][A-Z0-9_]*)=([A-Za-z0-9_.;+-]+)", word)
        if found is None:
            raise ProfileError(
                f"the build flag of {profile.accelerator.name} is not a list of CMake options: {word!r}",
                hint='write build_flag = "-DGGML_CUDA=on"',
            )
        options[found[1]] = found[2]
    return options
