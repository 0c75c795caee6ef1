"""Detection on recorded /proc and /sys trees, and on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from board_trees import write_tree
from edgellm.devices.cgroup import cpu_quota, memory_headroom_bytes, memory_limit_bytes
from edgellm.devices.load import load_profile
from edgellm.devices.local import available_memory_bytes, decode_threads, detect_local
from edgellm.devices.topology import core_groups, parse_cpu_list
from edgellm.errors import UnsupportedError

MIB = 2**20
MEMINFO = "MemTotal:        8245824 kB\nMemFree:  100 kB\nMemAvailable:    6291456 kB\n"
A55, A76 = "0xd05", "0xd0b"


def arm_board(root: Path, parts: list[str], capacities: list[int], mhz: list[int], model: str) -> Path:
    """A board as its kernel describes it."""
    features = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
    cpuinfo = "".join(
        f"processor\t: {n}\nBogoMIPS\t: 48.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n\n"
        for n, part in enumerate(parts)
    )
    files = {
        "proc/cpuinfo": cpuinfo,
        "proc/meminfo": MEMINFO,
        "proc/device-tree/model": model + "\0",
        "sys/devices/system/cpu/online": f"0-{len(parts) - 1}\n",
    }
    for n, (capacity, clock) in enumerate(zip(capacities, mhz, strict=True)):
        files[f"sys/devices/system/cpu/cpu{n}/cpu_capacity"] = f"{capacity}\n"
        files[f"sys/devices/system/cpu/cpu{n}/cpufreq/cpuinfo_max_freq"] = f"{clock}000\n"
        files[f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list"] = f"{n}\n"
    return write_tree(root, files)


def test_big_cores_come_first(tmp_path: Path) -> None:
    root = arm_board(
        tmp_path, [A55] * 4 + [A76] * 4, [414] * 4 + [1024] * 4, [1800] * 4 + [2400, 2400, 2256, 2256], "Radxa ROCK 5B"
    )
    profile = detect_local(root, machine="aarch64")
    assert [(c.core, c.count, c.mhz) for c in profile.cpu.clusters] == [
        ("Cortex-A76", 4, 2400),
        ("Cortex-A55", 4, 1800),
    ]
    assert profile.threads == 4
    assert profile.name == "Radxa ROCK 5B"
    assert "asimddp" in profile.cpu.features
    assert profile.memory.size_bytes == 8245824 * 1024


def test_cores_of_one_cluster_stay_together(tmp_path: Path) -> None:
    root = arm_board(tmp_path, [A76] * 4, [1024] * 4, [2400] * 4, "Raspberry Pi 5 Model B Rev 1.0")
    assert [group.n_cores for group in core_groups(root)] == [4]


def test_hyper_threads_of_one_core_count_once(tmp_path: Path) -> None:
    files = {"sys/devices/system/cpu/online": "0-3\n", "proc/cpuinfo": "model name\t: Some CPU\nflags\t: avx2 fma\n"}
    files |= {
        f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": f"{n % 2},{n % 2 + 2}\n" for n in range(4)
    }
    groups = core_groups(write_tree(tmp_path, files))
    assert [(group.core, group.n_cores) for group in groups] == [("Some CPU", 2)]


def test_affinity_hides_cores(tmp_path: Path) -> None:
    root = arm_board(tmp_path, [A55] * 4 + [A76] * 4, [414] * 4 + [1024] * 4, [1800] * 4 + [2400] * 4, "board")
    assert [group.n_cores for group in core_groups(root, frozenset({0, 1, 7}))] == [1, 2]


def test_features_are_those_that_all_cores_share(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {"proc/cpuinfo": "processor: 0\nflags : avx2 avx512f\nprocessor: 1\nflags : avx2\n", "proc/meminfo": MEMINFO},
    )
    assert detect_local(root, machine="x86_64").cpu.features == ("avx2",)


def test_risc_v_extensions_are_features(tmp_path: Path) -> None:
    isa = "isa\t: rv64imafdcv_zicsr_zvfh_zvl256b\nuarch\t: spacemit,x60\n"
    root = write_tree(tmp_path, {"proc/cpuinfo": f"processor\t: 0\n{isa}", "proc/meminfo": MEMINFO})
    profile = detect_local(root, machine="riscv64")
    assert {"zvfh", "zvl256b"} <= set(profile.cpu.features)
    assert profile.name == "spacemit,x60"


@pytest.mark.parametrize(
    ("files", "limit", "headroom", "quota"),
    [
        (
            {
                "proc/self/cgroup": "0::/user/app\n",
                "sys/fs/cgroup/user/app/memory.max": "max\n",
                "sys/fs/cgroup/user/memory.max": f"{1024 * MIB}\n",
                "sys/fs/cgroup/user/memory.stat": f"anon {100 * MIB}\nfile {900 * MIB}\n",
                "sys/fs/cgroup/user/memory.current": f"{1000 * MIB}\n",
                "sys/fs/cgroup/user/app/cpu.max": "150000 100000\n",
            },
            1024 * MIB,
            924 * MIB,
            1.5,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/app\n3:cpu,cpuacct:/app\n",
                "sys/fs/cgroup/memory/app/memory.limit_in_bytes": f"{512 * MIB}\n",
                "sys/fs/cgroup/memory/app/memory.stat": f"rss 1\ntotal_rss {12 * MIB}\n",
                "sys/fs/cgroup/cpu/app/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu/app/cpu.cfs_period_us": "100000\n",
            },
            512 * MIB,
            500 * MIB,
            2.0,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None, None, None),
        ({"proc/self/cgroup": "0::/../../etc\nnonsense\n", "sys/fs/cgroup/memory.max": "many\n"}, None, None, None),
        ({}, None, None, None),
    ],
)
def test_container_limits(
    tmp_path: Path, files: dict[str, str], limit: int | None, headroom: int | None, quota: float | None
) -> None:
    root = write_tree(tmp_path, files)
    assert memory_limit_bytes(root) == limit
    assert memory_headroom_bytes(root) == headroom
    assert cpu_quota(root) == quota


def test_a_container_is_planned_for_its_limit(tmp_path: Path) -> None:
    root = arm_board(tmp_path, [A76] * 4, [1024] * 4, [2400] * 4, "Raspberry Pi 5")
    write_tree(
        root,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": f"{2048 * MIB}\n",
            "sys/fs/cgroup/cpu.max": "200000 100000\n",
        },
    )
    profile = detect_local(root, machine="aarch64")
    assert profile.memory.size_bytes == 2048 * MIB
    assert profile.memory.os_reserve_mb is not None
    assert profile.threads == decode_threads(root) == 2
    assert available_memory_bytes(root) == 2048 * MIB


def test_a_laptop_keeps_a_desktop_reserve(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/cpuinfo": "processor: 0\nflags: avx2\n",
            "sys/class/dmi/id/chassis_type": "10\n",
            "sys/class/dmi/id/sys_vendor": "LENOVO\n",
            "sys/class/dmi/id/product_name": "21AB\n",
        },
    )
    profile = detect_local(root, machine="x86_64")
    assert profile.memory.system == "desktop"
    assert profile.name == "LENOVO 21AB"


def test_a_machine_that_tells_nothing_is_refused_clearly(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="meminfo"):
        detect_local(tmp_path, machine="x86_64")
    with pytest.raises(UnsupportedError, match="s390x"):
        detect_local(tmp_path, machine="s390x")


@pytest.mark.parametrize(("text", "cpus"), [("0-2,5", [0, 1, 2, 5]), ("", []), ("a-b", []), ("3", [3]), ("5-1", [])])
def test_cpu_lists(text: str, cpus: list[int]) -> None:
    assert parse_cpu_list(text) == cpus


def test_this_machine_has_a_profile() -> None:
    profile = load_profile("local").profile
    assert profile.threads >= 1
    assert profile.cpu.features
    free = available_memory_bytes()
    assert free is not None
    assert 0 < free <= profile.memory.size_bytes
