"""From the names of a machine to one profile or none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from board_trees import board_tree
from edgellm.devices.board import Board, read_board
from edgellm.devices.load import list_profiles
from edgellm.devices.match import match_profile


def matched(board: Board, arch: str = "aarch64") -> str | None:
    found = match_profile(board, list_profiles(), arch)
    return found.profile.id if found.profile else None


@pytest.mark.parametrize(
    ("compatible", "profile"),
    [
        ("raspberrypi,5-model-b brcm,bcm2712", "raspberrypi5"),
        ("raspberrypi,500 brcm,bcm2712", "raspberrypi5"),
        ("raspberrypi,5-compute-module brcm,bcm2712", "cm5"),
        ("raspberrypi,4-model-b brcm,bcm2711", "raspberrypi4"),
        ("raspberrypi,400 brcm,bcm2711", "raspberrypi4"),
        ("raspberrypi,4-compute-module brcm,bcm2711", "raspberrypi4"),
        ("raspberrypi,3-model-b-plus brcm,bcm2837", "raspberrypi3bplus"),
        ("raspberrypi,model-zero-2-w brcm,bcm2837", "raspberrypizero2w"),
        ("raspberrypi,3-compute-module brcm,bcm2837", None),
        ("xunlong,orangepi-5 rockchip,rk3588s", "rk3588"),
        ("rockchip,rk3588s-orangepi-5 rockchip,rk3588", "rk3588"),
        ("radxa,rock-5b rockchip,rk3588", "rk3588"),
        ("pine64,quartz64-a rockchip,rk3566", "rk3566"),
        ("somebody,board rockchip,rk3582", None),
        ("nvidia,p3737-0000+p3701-0005 nvidia,p3701-0005 nvidia,tegra234", "jetson-agx-orin"),
        ("nvidia,p3768-0000+p3767-0005 nvidia,p3767-0005 nvidia,tegra234", "jetson-orin-nano"),
        ("nvidia,p3768-0000+p3767-0005-super nvidia,p3767-0005 nvidia,tegra234", "jetson-orin-nano-super"),
        ("vendor,carrier nvidia,p3767-0003 nvidia,tegra234", "jetson-orin-nano"),
        ("nvidia,p3509-0000+p3668-0000 nvidia,tegra194", None),
        ("linux,dummy-virt", None),
        ("", None),
    ],
)
def test_device_trees(compatible: str, profile: str | None) -> None:
    names = tuple(compatible.split())
    socs = tuple(name.partition(",")[2] for name in names)
    assert matched(Board(compatible=names, soc=socs)) == profile


def test_a_chip_without_a_known_board_is_enough_where_it_means_one_profile() -> None:
    assert matched(Board(soc=("bcm2712",))) == "raspberrypi5"
    assert matched(Board(soc=("tegra234",))) is None


def test_the_device_tree_outweighs_everything_else() -> None:
    board = Board(compatible=("raspberrypi,4-model-b",), soc=("bcm2712",), cpu="Intel(R) N100")
    assert matched(board) == "raspberrypi4"


@pytest.mark.parametrize(
    ("board", "profile"),
    [
        (Board(cpu="Intel(R) N100"), "intel-n100"),
        (Board(cpu="intel(r) n150"), "intel-n100"),
        (Board(cpu="Intel(R) N1000"), None),
        (Board(cpu="AMD Ryzen AI 5 340 w/ Radeon 840M"), "ryzen-apu"),
        (Board(dmi=("Valve Jupiter", "Jupiter")), "steam-deck"),
        (Board(dmi=("Somebody Jupiter", "Jupiter")), None),
        (Board(cpu="Intel(R) Xeon(R) Processor"), None),
    ],
)
def test_pcs_match_by_whole_names_only(board: Board, profile: str | None) -> None:
    assert matched(board, "x86_64") == profile


def test_a_profile_of_another_architecture_never_matches() -> None:
    assert matched(Board(compatible=("raspberrypi,5-model-b",), soc=("bcm2712",)), "riscv64") is None
    assert matched(Board(cpu="Intel(R) N100"), "aarch64") is None


def test_a_name_that_two_profiles_claim_decides_nothing() -> None:
    pi5 = next(profile for profile in list_profiles() if profile.id == "raspberrypi5")
    twin = msgspec.structs.replace(pi5, id="twin")
    found = match_profile(Board(compatible=("raspberrypi,5-model-b",)), [pi5, twin], "aarch64")
    assert found.profile is None
    assert "raspberrypi,5-model-b" in found.reason


def test_no_two_shipped_profiles_claim_one_name() -> None:
    for field in ("compatible", "dmi", "soc"):
        names = Counter(name.lower() for profile in list_profiles() for name in getattr(profile.match, field))
        assert [name for name, count in names.items() if count > 1] == []


def test_names_are_read_from_device_tree_and_dmi(tmp_path: Path) -> None:
    pi = read_board(board_tree("raspberrypi5", tmp_path / "pi"))
    assert pi.model == "Raspberry Pi 5 Model B Rev 1.1"
    assert pi.compatible == ("raspberrypi,5-model-b", "brcm,bcm2712")
    assert pi.soc == ("5-model-b", "bcm2712")
    assert (pi.virtual, pi.container) == (None, None)
    n100 = read_board(board_tree("intel-n100", tmp_path / "n100"))
    assert (n100.model, n100.dmi) == ("ADL-N", ("ADL-N",))  # "Default string" is what nobody filled in
    machine = read_board(board_tree("x86-vm", tmp_path / "vm"))
    assert machine.virtual == "QEMU"


def test_the_second_place_of_the_device_tree_serves_too(tmp_path: Path) -> None:
    root = board_tree("raspberrypi5", tmp_path)
    folder = root / "sys/firmware/devicetree"
    folder.mkdir(parents=True)
    (root / "proc/device-tree").rename(folder / "base")
    assert read_board(root).compatible == ("raspberrypi,5-model-b", "brcm,bcm2712")


@pytest.mark.parametrize(
    ("files", "virtual"),
    [
        ({"sys/class/dmi/id/sys_vendor": "Microsoft Corporation", "sys/class/dmi/id/product_name": "Surface"}, None),
        (
            {
                "sys/class/dmi/id/sys_vendor": "Microsoft Corporation",
                "sys/class/dmi/id/product_name": "Virtual Machine",
            },
            "Hyper-V",
        ),
        ({"sys/class/dmi/id/sys_vendor": "innotek GmbH"}, "VirtualBox"),
        ({"sys/class/dmi/id/sys_vendor": "VMware, Inc."}, "VMware"),
        ({"sys/class/dmi/id/sys_vendor": "Amazon EC2"}, "Amazon EC2"),
        ({"proc/device-tree/compatible": "linux,dummy-virt\0"}, "QEMU"),
        ({"sys/hypervisor/type": "xen"}, "xen"),
        ({"proc/cpuinfo": "flags\t: fpu hypervisor\n"}, "a hypervisor"),
        ({"proc/cpuinfo": "flags\t: fpu\n"}, None),
    ],
)
def test_virtual_machines(files: dict[str, str], virtual: str | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_board(tmp_path).virtual == virtual
