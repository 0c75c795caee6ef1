"""What kind of disk a folder lies on."""

from __future__ import annotations

from pathlib import Path

import pytest

from board_trees import board_tree
from edgellm.devices.storage import find_storage


def tree(root: Path, mounts: str, files: dict[str, str] | None = None) -> Path:
    for name, text in {"proc/self/mountinfo": mounts, **(files or {})}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("board", "folder", "kind", "device"),
    [
        ("raspberrypi5", "/home/user/.local/share/edgellm/store", "microSD", "mmcblk0"),
        ("raspberrypi5", "/mnt/nas/models", "network", "nas:/models"),
        ("raspberrypi5", "/mnt/nasty", "microSD", "mmcblk0"),
        ("raspberrypi5", "/tmp/x", "memory", ""),
        ("raspberrypi4", "/var/lib/edgellm", "microSD", "mmcblk0"),  # mounted as /dev/root
        ("jetson-orin-nano", "/ssd/models", "NVMe", "nvme0n1"),
        ("intel-n100", "/var/lib/edgellm", "eMMC", "mmcblk0"),
        ("intel-n100", "/media/usb disk/models", "USB", "sda"),
        ("x86-laptop", "/home/user", "NVMe", "nvme0n1"),  # btrfs on LUKS
        ("x86-vm", "/", "virtual disk", "vda"),
        ("container-v1", "/root", "overlay", ""),
        ("container-v1", "/data/models", "microSD", "mmcblk0"),
    ],
)
def test_recorded_boards(board: str, folder: str, kind: str, device: str, tmp_path: Path) -> None:
    found = find_storage(Path(folder), board_tree(board, tmp_path))
    assert (found.kind, found.device) == (kind, device)


ROOT_SDA = "29 1 8:1 / / rw - ext4 /dev/sda1 rw\n"


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"sys/block/sda/device/vendor": "ATA     "}, "SATA"),
        ({"sys/block/sda/device/vendor": "ATA", "sys/block/sda/queue/rotational": "1"}, "hard disk"),
        ({"sys/block/sda/device/vendor": "QEMU", "sys/block/sda/queue/rotational": "1"}, "virtual disk"),
        ({"sys/block/sda/device/vendor": "KIOXIA"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_scsi_disks(files: dict[str, str], kind: str, tmp_path: Path) -> None:
    assert find_storage(Path("/x"), tree(tmp_path, ROOT_SDA, files)).kind == kind


@pytest.mark.parametrize(
    ("bus", "kind"),
    [
        ("platform/soc/1d84000.ufshc/host0/target0:0:0/0:0:0:0/block/sda", "UFS"),
        ("pci0000:00/0000:00:17.0/ata3/host2/target2:0:0/2:0:0:0/block/sda", "SATA"),
        ("pci0000:00/0000:00:05.0/virtio2/host2/target2:0:0/2:0:0:0/block/sda", "virtual disk"),
    ],
)
def test_the_path_of_a_disk_tells_its_bus(bus: str, kind: str, tmp_path: Path) -> None:
    root = tree(tmp_path, ROOT_SDA, {f"sys/devices/{bus}/queue/rotational": "0"})
    (root / "sys/block").mkdir()
    (root / "sys/block/sda").symlink_to(f"../devices/{bus}")
    assert find_storage(Path("/x"), root).kind == kind


def test_an_overlay_over_memory_is_memory_with_a_warning(tmp_path: Path) -> None:
    mounts = (
        "20 1 0:20 / /media/root-rw rw - tmpfs tmpfs rw\n"
        "21 1 0:21 / / rw - overlay overlayroot rw,lowerdir=/media/root-ro,upperdir=/media/root-rw/overlay,workdir=/w\n"
    )
    found = find_storage(Path("/var/lib"), tree(tmp_path, mounts))
    assert (found.kind, found.filesystem) == ("memory", "overlay")
    assert "gone after a restart" in found.note


def test_a_later_mount_hides_an_earlier_one_and_may_be_read_only(tmp_path: Path) -> None:
    mounts = "1 0 0:1 / /data rw - tmpfs a rw\n2 0 0:2 / /data ro - nfs b:/x rw\n"
    found = find_storage(Path("/data/x"), tree(tmp_path, mounts))
    assert (found.kind, found.read_only) == ("network", True)


@pytest.mark.parametrize(
    "mounts",
    [
        "",
        "nonsense\n" * 10,
        "1 0 8:1 / / rw - ext4 /dev/../../../../etc/passwd rw\n",
        "1 0 ../..:1 / / rw - ext4 /dev/.. rw\n",
        "1 0 0:1 / / rw - overlay overlay rw,upperdir=/\n",
        "1 0 0:1 / / rw - overlay overlay rw,upperdir=\n",
        "1 0 0:1 / / rw -\n",
        "1 0 8:1 / \\057 rw - ext4 /dev/sda1\0 rw\n",
        "\udcff".encode("utf-8", "surrogateescape").decode("latin-1") * 100,
    ],
)
def test_hostile_mount_tables_say_nothing(mounts: str, tmp_path: Path) -> None:
    assert find_storage(Path("/x"), tree(tmp_path, mounts)).kind in ("unknown", "overlay")


def test_devices_made_of_each_other_end(tmp_path: Path) -> None:
    root = tree(tmp_path, "1 0 253:0 / / rw - ext4 /dev/dm-0 rw\n")
    (root / "sys/block/dm-0/slaves/dm-1").mkdir(parents=True)
    (root / "sys/block/dm-1/slaves/dm-0").mkdir(parents=True)
    assert find_storage(Path("/x"), root).kind == "unknown"
