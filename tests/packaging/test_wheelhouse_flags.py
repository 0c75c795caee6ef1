"""Which compiler options llama.cpp is built with for each device, and on which machines that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess

import msgspec
import pytest

from edgellm.deploy.build_machine import require_same_machine
from edgellm.deploy.cpu_flags import arm_arch, cmake_args, cmake_options, compiled_features
from edgellm.devices.load import list_profiles, load_profile
from edgellm.devices.profile import Profile
from edgellm.errors import ProfileError, UsageError

X86_NAMES = (
    "SSE42 AVX F16C FMA AVX2 BMI2 AVX_VNNI AVX512 AVX512_VBMI AVX512_VNNI AVX512_BF16 AMX_TILE AMX_INT8 AMX_BF16"
)
AVX2 = {"SSE42", "AVX", "F16C", "FMA", "AVX2", "BMI2"}
A53, A76, I8MM = "armv8-a", "armv8.2-a+dotprod+fp16", "armv8.2-a+dotprod+fp16+i8mm"
ARM = {
    "android-flagship": I8MM,
    "android-midrange": I8MM,
    "apple-m1": A76,
    "apple-m2": I8MM,
    "apple-m4": I8MM,
    "cm5": A76,
    "jetson-agx-orin": A76,
    "jetson-orin-nano": A76,
    "jetson-orin-nano-super": A76,
    "raspberrypi3bplus": A53,
    "raspberrypi4": A53,
    "raspberrypi5": A76,
    "raspberrypizero2w": A53,
    "rk3566": A76,
    "rk3588": A76,
}
X86 = {
    "intel-n100": AVX2 | {"AVX_VNNI"},
    "ryzen-apu": AVX2 | {"AVX512", "AVX512_VNNI", "AVX512_BF16"},
    "steam-deck": AVX2,
    "x86-laptop": AVX2,
}


def profile(name: str) -> Profile:
    return load_profile(name).profile


def with_features(name: str, *features: str) -> Profile:
    known = profile(name)
    return msgspec.structs.replace(known, cpu=msgspec.structs.replace(known.cpu, features=features))


@pytest.mark.parametrize("device", list_profiles(), ids=lambda device: device.id)
def test_every_shipped_profile_has_its_options(device: Profile) -> None:
    options = cmake_options(device)
    assert options.pop("GGML_NATIVE") == "OFF"
    if device.id in ARM:
        assert options == {"GGML_CPU_ARM_ARCH": ARM[device.id]}
    elif device.id in X86:
        assert list(options) == [f"GGML_{name}" for name in X86_NAMES.split()]
        assert {name.removeprefix("GGML_") for name, value in options.items() if value == "ON"} == X86[device.id]
    else:
        assert device.id == "spacemit-k1"
        assert {name for name, value in options.items() if value == "ON"} == {"GGML_RVV", "GGML_RV_ZVFH"}


def test_the_options_are_one_line_for_cmake_args() -> None:
    assert cmake_args(profile("raspberrypi5")) == f"-DGGML_NATIVE=OFF -DGGML_CPU_ARM_ARCH={A76}"
    gpu = cmake_args(profile("jetson-orin-nano"), accelerator=True)
    assert gpu == f"-DGGML_NATIVE=OFF -DGGML_CPU_ARM_ARCH={A76} -DGGML_CUDA=on"


def test_an_accelerator_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no accelerator"):
        cmake_args(profile("raspberrypi5"), accelerator=True)


@pytest.mark.parametrize("flag", ["make all", "-DGGML_CUDA=on; rm x", 'CMAKE_ARGS="-DGGML_CUDA=on', "-DX=$(id)"])
def test_a_build_flag_is_cmake_options_or_an_error(flag: str) -> None:
    known = profile("jetson-orin-nano")
    assert known.accelerator is not None
    hostile = msgspec.structs.replace(known, accelerator=msgspec.structs.replace(known.accelerator, build_flag=flag))
    with pytest.raises(ProfileError, match="not a list of CMake options"):
        cmake_args(hostile, accelerator=True)


@pytest.mark.parametrize("compiler", ["aarch64-linux-gnu-gcc", "clang"])
def test_the_arm_compiler_defines_what_the_profile_has(compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    target = ["--target=aarch64-linux-gnu"] if compiler == "clang" else []
    macros = {"asimddp": "DOTPROD", "asimdhp": "FP16_VECTOR_ARITHMETIC", "i8mm": "MATMUL_INT8", "sve": "SVE"}
    wider = ["asimd", "crc32", "atomics", "asimdrdm", "fphp", "asimdhp", "asimddp", "i8mm", "sve"]
    for features in [*(profile(name).cpu.features for name in ARM), wider, ["asimd", "asimddp"]]:
        command = [compiler, *target, f"-march={arm_arch(features)}", "-dM", "-E", "-x", "c", os.devnull]
        defined = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for feature, macro in macros.items():
            assert (f"#define __ARM_FEATURE_{macro} " in defined) is (feature in features), (features, macro)


def test_what_a_library_reports_is_said_in_the_words_of_the_kernel() -> None:
    assert compiled_features(["AVX512", "dotprod", "matmul_int8", "llamafile"]) == {"avx512f", "asimddp", "i8mm"}


def test_odd_features_of_an_arm_core_do_not_raise_its_architecture() -> None:
    assert cmake_options(with_features("raspberrypi5", "asimd", "asimddp"))["GGML_CPU_ARM_ARCH"] == "armv8-a+dotprod"
    assert cmake_options(with_features("raspberrypi5"))["GGML_CPU_ARM_ARCH"] == "armv8-a"


@pytest.mark.parametrize(
    ("name", "arch", "system"),
    [("raspberrypi5", "x86_64", "Linux"), ("apple-m1", "aarch64", "Linux"), ("x86-laptop", "x86_64", "macOS")],
)
def test_another_machine_is_refused_with_the_command_for_there(name: str, arch: str, system: str) -> None:
    with pytest.raises(UsageError) as refused:
        require_same_machine(profile(name), f"make wheelhouse PROFILE={name}", arch=arch, system=system)
    assert refused.value.hint is not None
    assert f"run: make wheelhouse PROFILE={name}" in refused.value.hint
    require_same_machine(profile("raspberrypi5"), "", arch="aarch64", system="Linux")
