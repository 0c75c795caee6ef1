"""Recorded boards: which profile each is, and what is planned for it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from board_trees import BOARDS, board_tree
from edgellm.devices.detect import detect_device
from edgellm.devices.features import notable_features, slow_because
from edgellm.devices.health import read_health
from edgellm.devices.load import load_profile
from edgellm.devices.local import available_memory_bytes
from edgellm.devices.memory import os_reserve_bytes
from edgellm.errors import UnsupportedError

KIB, MIB = 2**10, 2**20


class Expected(NamedTuple):
    profile: str
    clusters: list[tuple[str, int, int | None]]
    threads: int
    memory_bytes: int
    features: set[str]
    storage: str
    temperature_c: float | None


def mac(chip: str, fast: int, slow: int) -> list[tuple[str, int, int | None]]:
    return [(f"Apple {chip}, performance", fast, None), (f"Apple {chip}, efficiency", slow, None)]


PI5 = [("Cortex-A76", 4, 2400)]
EXPECTED = {
    "raspberrypi5": Expected("raspberrypi5", PI5, 4, 16609280 * KIB, {"NEON", "dotprod", "fp16"}, "microSD", 44.6),
    "raspberrypi4": Expected("raspberrypi4", [("Cortex-A72", 4, 1800)], 4, 930816 * KIB, {"NEON"}, "microSD", 47.7),
    "rock-5b": Expected(
        "rk3588",
        [("Cortex-A76", 4, 2400), ("Cortex-A55", 4, 1800)],
        4,
        16100352 * KIB,
        {"NEON", "dotprod", "fp16"},
        "microSD",
        32.4,
    ),
    "jetson-orin-nano": Expected(
        "jetson-orin-nano",
        [("Cortex-A78AE", 6, 1510)],
        6,
        6635520 * KIB,
        {"NEON", "dotprod", "fp16"},
        "microSD",
        47.218,
    ),
    "jetson-orin-nano-super": Expected(
        "jetson-orin-nano-super",
        [("Cortex-A78AE", 6, 1728)],
        6,
        6635520 * KIB,
        {"NEON", "dotprod", "fp16"},
        "microSD",
        47.218,
    ),
    "intel-n100": Expected(
        "intel-n100",
        [("Intel(R) N100", 4, 3400)],
        4,
        7823360 * KIB,
        {"SSE4.2", "AVX", "F16C", "FMA", "AVX2", "AVX-VNNI"},
        "eMMC",
        38.0,
    ),
    "spacemit-k1": Expected(
        "spacemit-k1",
        [("Spacemit(R) X60", 8, 1600)],
        8,
        3960000 * KIB,
        {"RVV", "Zvfh", "256-bit vectors"},
        "unknown",
        None,
    ),
    "x86-vm": Expected(
        "local", [("QEMU Virtual CPU version 2.5+", 2, None)], 2, 4030000 * KIB, {"SSE4.2"}, "virtual disk", None
    ),
    "x86-laptop": Expected(
        "local",
        [("13th Gen Intel(R) Core(TM) i3-1315U", 2, 4500), ("13th Gen Intel(R) Core(TM) i3-1315U", 4, 3300)],
        2,
        16100000 * KIB,
        {"SSE4.2", "AVX", "F16C", "FMA", "AVX2", "AVX-VNNI"},
        "NVMe",
        None,
    ),
    "apple-m1": Expected("apple-m1", mac("M1", 4, 4), 4, 16 * 2**30, {"NEON", "fp16", "dotprod"}, "unknown", None),
    "apple-m2": Expected(
        "apple-m2", mac("M2", 4, 4), 4, 24 * 2**30, {"NEON", "fp16", "dotprod", "i8mm", "bf16"}, "unknown", None
    ),
    "apple-m4": Expected(
        "apple-m4", mac("M4", 4, 6), 4, 16 * 2**30, {"NEON", "fp16", "dotprod", "i8mm", "bf16", "SME"}, "unknown", None
    ),
    "android-sm8750": Expected(
        "android-flagship",
        [("ARM part 0x001", 2, 4320), ("ARM part 0x001", 6, 3532)],
        2,
        11534336 * KIB,
        {"NEON", "fp16", "dotprod", "i8mm", "bf16"},
        "unknown",
        None,
    ),
    "container-v1": Expected("raspberrypi4", [("Cortex-A72", 4, 1800)], 1, 512 * MIB, {"NEON"}, "overlay", 47.7),
    "container-v2": Expected("raspberrypi5", PI5, 2, 2048 * MIB, {"NEON", "dotprod", "fp16"}, "overlay", 44.6),
}


def test_every_recorded_board_is_expected_to_be_something() -> None:
    assert {path.name for path in BOARDS.iterdir()} - {"README.md"} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_board_is_what_it_is(name: str, tmp_path: Path) -> None:
    root, expected = board_tree(name, tmp_path), EXPECTED[name]
    found = detect_device(root)
    assert found.profile.id == expected.profile
    assert (found.match is None) == (expected.profile == "local")
    assert [(c.core, c.count, c.mhz) for c in found.local.cpu.clusters] == expected.clusters
    assert found.profile.threads == found.local.threads == expected.threads
    assert found.profile.memory.size_bytes == found.local.memory.size_bytes == expected.memory_bytes
    assert set(notable_features(found.profile.cpu.arch, found.profile.cpu.features)) == expected.features
    assert found.storage.kind == expected.storage
    assert read_health(root).temperature_c == expected.temperature_c


@pytest.mark.parametrize("name", ["raspberrypi5", "raspberrypi4", "rock-5b", "intel-n100", "spacemit-k1"])
def test_a_board_leaves_models_what_was_planned_for_the_size_that_is_sold(name: str, tmp_path: Path) -> None:
    memory = detect_device(board_tree(name, tmp_path)).profile.memory
    sold = min(size for size in memory.sold_bytes if size >= memory.size_bytes)
    planned = load_profile(EXPECTED[name].profile, memory=sold).profile.memory
    here = memory.size_bytes - os_reserve_bytes(memory)
    there = planned.size_bytes - os_reserve_bytes(planned)
    assert abs(here - there) < 0.09 * there


def test_a_matched_board_keeps_what_was_published_about_it(tmp_path: Path) -> None:
    shipped = load_profile("raspberrypi5").profile
    match = detect_device(board_tree("raspberrypi5", tmp_path)).match
    assert match is not None
    assert (match.perf, match.memory.bandwidth_measured_gb_s) == (shipped.perf, shipped.memory.bandwidth_measured_gb_s)
    assert match.policy.preferred == shipped.policy.preferred
    assert [(disk.kind, disk.read_mb_s) for disk in match.storage] == [("microSD", shipped.storage[1].read_mb_s)]


def test_a_container_is_planned_for_its_limits_and_says_so(tmp_path: Path) -> None:
    found = detect_device(board_tree("container-v1", tmp_path))
    assert (found.memory_total_bytes, found.memory_limit_bytes) == (930816 * KIB, 512 * MIB)
    assert found.cpu_quota == 1.5
    assert os_reserve_bytes(found.profile.memory) == 64_000_000
    assert any("512 MiB" in reason for reason in found.reasons)
    assert any("docker" in reason for reason in found.reasons)
    assert any("1.5 CPUs" in reason for reason in found.reasons)


def test_a_jetson_says_whether_it_is_a_super_and_what_its_power_mode_costs(tmp_path: Path) -> None:
    original = detect_device(board_tree("jetson-orin-nano", tmp_path / "original"))
    assert any("neither device tree nor nvpmodel says Super" in reason for reason in original.reasons)
    newer = detect_device(board_tree("jetson-orin-nano-super", tmp_path / "super"))
    assert any("p3767-0005-super" in reason for reason in newer.reasons)
    assert any("power mode 15W, which slows memory down" in reason for reason in newer.reasons)


def test_a_super_mode_that_only_nvpmodel_knows_counts(tmp_path: Path) -> None:
    root = board_tree("jetson-orin-nano", tmp_path)
    (root / "etc").mkdir()
    (root / "etc/nvpmodel.conf").write_text("< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n", encoding="utf-8")
    found = detect_device(root)
    assert found.profile.id == "jetson-orin-nano-super"
    assert any("/etc/nvpmodel.conf" in reason for reason in found.reasons)


@pytest.mark.parametrize("module", ["p3767-0000", "p3767-0001", "p3767-0004", "p3767-0000-super", "p3767-0004-super"])
def test_other_modules_on_the_same_carrier_are_no_orin_nano(module: str, tmp_path: Path) -> None:
    root = board_tree("jetson-orin-nano", tmp_path)
    names = f"nvidia,p3768-0000+{module}\0nvidia,{module.removesuffix('-super')}\0nvidia,tegra234\0"
    (root / "proc/device-tree/compatible").write_text(names, encoding="utf-8")
    found = detect_device(root)
    assert found.match is None
    assert found.local.memory.system == "jetson"


def test_what_a_slow_processor_lacks_is_said(tmp_path: Path) -> None:
    pi4 = detect_device(board_tree("raspberrypi4", tmp_path)).profile.cpu
    assert "no dot products" in (slow_because(pi4.arch, pi4.features) or "")
    assert slow_because("x86_64", ("avx2",)) is None


def test_a_mac_says_how_much_memory_is_free_and_what_it_is(tmp_path: Path) -> None:
    root = board_tree("apple-m4", tmp_path)
    found = detect_device(root)
    assert (found.board.model, found.board.cpu) == ("Mac16,10", "Apple M4")
    assert found.local.memory.system == "macos"
    assert available_memory_bytes(root) == 16 * 2**30 * 62 // 100


def test_a_mac_with_another_chip_is_local_and_a_virtual_one_says_so(tmp_path: Path) -> None:
    root = board_tree("apple-m4", tmp_path)
    said = (root / "recorded/sysctl").read_text()
    (root / "recorded/sysctl").write_text(said.replace("Apple M4", "Apple M4 Max") + "kern.hv_vmm_present: 1\n")
    found = detect_device(root)
    assert found.match is None
    assert any("virtual machine" in reason for reason in found.reasons)


def test_an_intel_mac_has_the_features_of_its_processor(tmp_path: Path) -> None:
    lines = (
        "hw.memsize: 34359738368",
        "hw.model: MacBookPro16,1",
        "hw.physicalcpu: 8",
        "hw.cpufrequency_max: 2400000000",
        "machdep.cpu.brand_string: Intel(R) Core(TM) i9-9980HK CPU @ 2.40GHz",
        "machdep.cpu.features: FPU SSE4.1 SSE4.2 FMA AVX1.0 F16C",
        "machdep.cpu.leaf7_features: AVX2 BMI2",
    )
    (tmp_path / "recorded").mkdir()
    (tmp_path / "recorded/sysctl").write_text("\n".join(lines) + "\n")
    local = detect_device(tmp_path).local
    assert local.cpu.arch == "x86_64"
    assert [(c.core[:20], c.count, c.mhz) for c in local.cpu.clusters] == [("Intel(R) Core(TM) i9", 8, 2400)]
    assert set(notable_features("x86_64", local.cpu.features)) == {"SSE4.2", "AVX", "F16C", "FMA", "AVX2"}


@pytest.mark.parametrize(
    "said", ["", "hw.model: \x1b[31m\n", "hw.memsize: -1\n", "hw.memsize: " + "9" * 40 + "\n", "hw.memsize\n"]
)
def test_a_sysctl_that_makes_no_sense_is_an_error_of_ours(tmp_path: Path, said: str) -> None:
    (tmp_path / "recorded").mkdir()
    (tmp_path / "recorded/sysctl").write_text(said)
    with pytest.raises(UnsupportedError):
        detect_device(tmp_path, machine="arm64")
