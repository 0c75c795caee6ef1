"""Memory, disks, folders, store, heat, ports, clock: each check on a machine made for it."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_machine import MEMINFO, fake_machine, x86

from bundle_parts import write_bundle
from edgellm.deploy.checks.disk import check_disk
from edgellm.deploy.checks.finding import Finding
from edgellm.deploy.checks.folders import access_problem, check_filesystem, check_folders, check_settings
from edgellm.deploy.checks.heat import check_temperature, check_throttling, check_voltage
from edgellm.deploy.checks.machine import Machine
from edgellm.deploy.checks.memory import check_memory, check_swap
from edgellm.deploy.checks.ports import check_ports, listeners
from edgellm.deploy.checks.run import CHECKS, run_checks
from edgellm.deploy.checks.store import check_leftovers, check_store
from edgellm.deploy.checks.surroundings import check_clock, check_extras, check_network, check_terminal
from edgellm.store.store import Store
from tmpfs import make_read_only, tmpfs

MOUNTS = "22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n"


def one(findings: Iterator[Finding]) -> Finding:
    (finding,) = list(findings)
    return finding


def told(findings: Iterator[Finding]) -> tuple[str, str, str]:
    finding = one(findings)
    return finding.status, finding.message, finding.fix or ""


def stored(machine: Machine) -> Store:
    store = Store(machine.paths.store, machine.paths.state)
    with store.writer() as writer:
        write_bundle(writer)
    return store


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user can reach; while it is in use, this process is not root, to whom no folder is closed."""
    with tempfile.TemporaryDirectory(prefix="edgellm-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "closed").mkdir(mode=0o700)
        (folder / "closed" / "inside").mkdir()
        (folder / "listed").mkdir(mode=0o755)
        if os.geteuid() == 0:
            os.setresuid(65534, 65534, 0)
            try:
                yield folder
            finally:
                os.setresuid(0, 0, 0)
        else:
            (folder / "closed").chmod(0)
            (folder / "listed").chmod(0o555)
            yield folder
            (folder / "closed").chmod(0o700)


def test_a_machine_in_order_has_no_warning(tmp_path: Path) -> None:
    machine = fake_machine(tmp_path, x86() | {"proc/self/mountinfo": MOUNTS})
    stored(machine)
    findings = list(run_checks(machine))
    assert {finding.status for finding in findings} <= {"ok", "skipped"}
    assert {finding.check for finding in findings} == set(CHECKS)


def test_every_warning_has_one_fix_and_nothing_else_has(tmp_path: Path) -> None:
    files = x86("fpu") | {"proc/meminfo": "MemTotal: 200000 kB\nMemAvailable: 90000 kB\n"}
    machine = fake_machine(tmp_path, files, now_s=0.0, encoding="ascii", run_tool=lambda _argument: "throttled=0x50005")
    findings = list(run_checks(machine))
    assert {"problem", "warning", "ok"} <= {finding.status for finding in findings}
    for finding in findings:
        assert (finding.fix is not None) == (finding.status in ("problem", "warning")), finding
        assert "\n" not in finding.message + (finding.fix or "")


def test_a_check_that_fails_is_skipped_and_the_others_go_on(tmp_path: Path) -> None:
    machine = fake_machine(tmp_path, environ={"EDGELLM_HOME": "a\0b"})
    findings = {finding.check: finding for finding in run_checks(machine)}
    assert findings["settings"].status == "problem"
    assert findings["store"].status == "skipped"
    assert findings["clock"].status == "ok"


def test_little_memory_is_warned_about_and_a_container_names_its_limit(tmp_path: Path) -> None:
    assert told(check_memory(fake_machine(tmp_path / "a")))[:2] == ("ok", "6.0 GiB are free")
    little = x86() | {"proc/meminfo": MEMINFO.replace("6291456", "102400")}
    status, message, fix = told(check_memory(fake_machine(tmp_path / "b", little)))
    assert (status, "100 MiB" in message, fix) == ("warning", True, "close other programs")
    limited = x86() | {"proc/self/cgroup": "0::/box\n", "sys/fs/cgroup/box/memory.max": str(300 << 20)}
    status, message, fix = told(check_memory(fake_machine(tmp_path / "c", limited)))
    assert (status, "limit of 300 MiB" in message, "raise the limit" in fix) == ("warning", True, True)


@pytest.mark.parametrize(
    ("swaps", "status", "words"),
    [
        ("", "ok", "no swap"),
        ("/dev/zram0 partition 2097148 1024 100", "ok", "compressed"),
        ("/dev/sda3 partition 2097148 1048576 -2", "ok", "1.0 GiB in use"),
        ("/dev/mmcblk0p3 partition 524284 0 -2", "warning", "memory card"),
        ("/var/swap file 102396 0 -2", "warning", "/var/swap"),
        ("not a swap line\n/dev/x \x1b[2J", "ok", "no swap"),
    ],
)
def test_swap_on_a_card_is_warned_about(tmp_path: Path, swaps: str, status: str, words: str) -> None:
    files = x86() | {"proc/swaps": f"Filename Type Size Used Priority\n{swaps}\n", "proc/self/mountinfo": MOUNTS}
    found = told(check_swap(fake_machine(tmp_path, files)))
    assert (found[0], words in found[1]) == (status, True)


@pytest.mark.parametrize(
    ("free", "files", "status"), [(10, 5, "problem"), (500, 5, "warning"), (5000, 5, "ok"), (5000, 0, "problem")]
)
def test_a_full_disk_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, files: int, status: str
) -> None:
    numbers = (4096, 1 << 20, 5000, free, free, 100, files, files, 0, 255)
    monkeypatch.setattr("os.statvfs", lambda _path: os.statvfs_result(numbers))
    machine = fake_machine(tmp_path)
    found = one(check_disk(machine))
    assert found.status == status
    assert (found.fix or "").startswith("" if status == "ok" else "remove other files"), "edgellm keeps nothing here"
    machine.paths.cache.mkdir(parents=True)
    (machine.paths.cache / "headers").write_bytes(bytes(100))
    assert one(check_disk(machine)).fix == (None if status == "ok" else "edgellm gc --cache")
    (machine.paths.cache / "headers").unlink()
    with Store(machine.paths.store, machine.paths.state).writer() as writer:
        write_bundle(writer)
    assert ("edgellm rm NAME" in (one(check_disk(machine)).fix or "")) == (status != "ok")


def test_folders_that_are_closed_get_the_command_that_opens_them(open_folder: Path) -> None:
    listed, closed = open_folder / "listed", open_folder / "closed"
    assert access_problem(listed, writes=False) is None
    assert access_problem(listed / "new", writes=False) is None
    found = access_problem(listed, writes=True)
    assert found == (f"{listed} cannot be written to", f'sudo chown -R "$USER" {listed}')
    found = access_problem(listed / "new" / "deep", writes=True)
    assert found is not None
    assert found[1] == f'sudo install -d -o "$USER" {listed}/new/deep'
    found = access_problem(closed, writes=False)
    assert found is not None
    assert "cannot be read" in found[0]
    found = access_problem(closed / "inside" / "deep", writes=False)
    assert found is not None
    assert f"{closed} is closed to you" in found[0]


def test_a_store_that_may_only_be_read_is_a_warning_and_one_that_cannot_be_made_a_problem(open_folder: Path) -> None:
    nowhere = str(open_folder / "home")
    readable = Machine(root=open_folder, environ={"EDGELLM_HOME": nowhere, "EDGELLM_STORE": f"{open_folder}/listed"})
    assert one(check_store(readable)).status == "warning"
    assert list(check_leftovers(readable)) == []
    missing = Machine(root=open_folder, environ={"EDGELLM_HOME": f"{open_folder}/listed/home"})
    assert one(check_store(missing)).status == "problem"


def test_a_read_only_disk_gets_a_fix_that_works_there(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "size=1m") as disk:
        environ = {"EDGELLM_HOME": str(disk / "home")}
        stored(Machine(root=tmp_path, environ=environ))
        make_read_only(disk)
        machine = Machine(root=tmp_path, environ=environ)
        status, message, fix = told(check_store(machine))
        assert (status, "its bundles run" in message) == ("warning", True)
        assert f"EDGELLM_SYSTEM_STORE={disk}/home/store" in fix
        findings = list(check_folders(machine))
        assert [finding.status for finding in findings] == ["problem", "problem"]
        assert [str(finding.fix).split("=")[0] for finding in findings] == [
            "export EDGELLM_STATE",
            "export EDGELLM_HOME",
        ]
        assert all("mounted read-only" in finding.message for finding in findings)
        assert all(finding.status == "ok" for finding in check_disk(machine))
        assert list(check_leftovers(machine)) == []


def test_settings_that_cannot_be_read_are_a_problem(tmp_path: Path) -> None:
    config = tmp_path / "home/config/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("min_speed = 'fast'\n", encoding="utf-8")
    status, message, fix = told(check_settings(fake_machine(tmp_path)))
    assert (status, str(config) in message, bool(fix)) == ("problem", True, True)


def test_a_device_that_does_not_exist_is_a_problem_with_its_origin(tmp_path: Path) -> None:
    environ = {"EDGELLM_HOME": str(tmp_path / "home"), "EDGELLM_DEVICE": "raspberrypi99"}
    status, message, _fix = told(check_settings(fake_machine(tmp_path, environ=environ)))
    assert (status, "EDGELLM_DEVICE" in message) == ("problem", True)


@pytest.mark.parametrize(
    ("kind", "status"), [("ext4", "ok"), ("overlay", "ok"), ("vfat", "warning"), ("tmpfs", "warning")]
)
def test_the_file_system_under_the_store_is_judged(tmp_path: Path, kind: str, status: str) -> None:
    table = MOUNTS + f"30 22 8:1 / {str(tmp_path).replace(' ', chr(92) + '040')} rw - {kind} /dev/sda1 rw\ntorn line\n"
    found = one(check_filesystem(fake_machine(tmp_path, x86() | {"proc/self/mountinfo": table})))
    assert (found.status, kind in found.message) == (status, True)


def test_an_empty_store_is_fine_and_so_is_a_whole_one(tmp_path: Path) -> None:
    machine = fake_machine(tmp_path)
    assert told(check_store(machine))[:2] == ("ok", f"{tmp_path}/home/store will be made when used")
    assert list(check_leftovers(machine)) == []
    stored(machine)
    assert told(check_store(machine))[:2] == ("ok", f"1 bundle in {tmp_path}/home/store")
    assert one(check_leftovers(machine)).status == "ok"


def test_a_bundle_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    machine = fake_machine(tmp_path)
    digest = stored(machine).list()[0].digest.removeprefix("sha256:")
    (machine.paths.store / "blobs/sha256" / digest).write_bytes(b"{}")
    status, message, fix = told(check_store(machine))
    assert (status, "1 of 1 bundles" in message, "edgellm rm" in fix) == ("problem", True, True)


def test_a_lost_index_is_a_problem(tmp_path: Path) -> None:
    machine = fake_machine(tmp_path)
    stored(machine)
    (machine.paths.store / "index.json").unlink()
    assert one(check_store(machine)).status == "problem"


def test_what_a_killed_command_left_is_offered_to_gc(tmp_path: Path) -> None:
    machine = fake_machine(tmp_path)
    stored(machine)
    left = machine.paths.store / ".staging/writer-0123456789abcdef"
    left.mkdir()
    (left / "blob").write_bytes(bytes(5000))
    status, message, fix = told(check_leftovers(machine))
    assert (status, "1 leftovers" in message, fix) == ("warning", True, "edgellm gc")
    assert left.exists()


def test_a_file_in_the_place_of_the_store_is_a_problem(tmp_path: Path) -> None:
    machine = fake_machine(tmp_path)
    machine.paths.store.parent.mkdir(parents=True)
    machine.paths.store.write_text("", encoding="utf-8")
    status, message, fix = told(check_store(machine))
    assert (status, "is a file" in message, fix.startswith("move ")) == ("problem", True, True)
    assert one(check_folders(machine)).status == "ok"


@pytest.mark.parametrize(
    ("tool", "check", "status", "words"),
    [
        ("throttled=0x0", check_voltage, "ok", "high enough"),
        ("throttled=0x50005", check_voltage, "warning", "is too low"),
        ("throttled=0x10000", check_voltage, "warning", "was, since it was started, too low"),
        ("throttled=0x4", check_throttling, "warning", "by heat"),
        ("throttled=0x2", check_throttling, "warning", "firmware"),
        ("throttled=0x40000", check_throttling, "warning", "and is not now"),
        ("throttled=0x0", check_throttling, "ok", "not slowed down"),
        (None, check_voltage, "skipped", ""),
        (None, check_throttling, "skipped", ""),
        (None, check_temperature, "skipped", ""),
    ],
)
def test_heat_and_voltage(tmp_path: Path, tool: str | None, check: object, status: str, words: str) -> None:
    found = one(check(fake_machine(tmp_path, run_tool=lambda _argument: tool)))  # type: ignore[operator]
    assert (found.status, words in found.message) == (status, True)


@pytest.mark.parametrize(("value", "status"), [("61000", "ok"), ("84000", "warning")])
def test_a_hot_processor_is_warned_about(tmp_path: Path, value: str, status: str) -> None:
    zone = "sys/class/thermal/thermal_zone0"
    files = x86() | {f"{zone}/type": "cpu-thermal\n", f"{zone}/temp": value}
    assert one(check_temperature(fake_machine(tmp_path, files))).status == status


def test_a_clock_that_is_limited_by_a_setting_is_found(tmp_path: Path) -> None:
    policy = "sys/devices/system/cpu/cpufreq/policy0"
    files = x86() | {f"{policy}/scaling_max_freq": "1200000", f"{policy}/cpuinfo_max_freq": "2400000"}
    status, message, fix = told(check_throttling(fake_machine(tmp_path, files)))
    assert (status, "1200 of 2400 MHz" in message, "scaling_max_freq" in fix) == ("warning", True, True)


def test_who_listens_is_read_from_proc(tmp_path: Path) -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    lines = (
        "   0: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0\n"
        "   1: 0100007F:2CAA 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0\n"
        "   torn\n"
    )
    machine = fake_machine(tmp_path, x86() | {"proc/net/tcp": head + lines, "proc/77/comm": "ollama\n"})
    assert told(check_ports(machine))[:2] == ("ok", "port 11434 is in use by a process of another user")
    (machine.root / "proc/77/fd").mkdir()
    (machine.root / "proc/77/fd/3").symlink_to("socket:[4711]")
    assert one(check_ports(machine)).message == "port 11434 is in use by ollama (process 77)"
    assert listeners(machine.root, 39321) == set()
    assert one(check_ports(fake_machine(tmp_path / "other"))).status == "skipped"


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux only")
def test_a_real_listener_is_found() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        assert not listeners(Path("/"), server.getsockname()[1])
        server.listen()
        assert listeners(Path("/"), server.getsockname()[1]) == {str(os.fstat(server.fileno()).st_ino)}


@pytest.mark.parametrize("now_s", [0.0, 946684800.0, -1e20, 1e20])
def test_a_clock_that_cannot_be_right_is_a_problem(tmp_path: Path, now_s: float) -> None:
    status, _message, fix = told(check_clock(fake_machine(tmp_path, now_s=now_s)))
    assert (status, fix) == ("problem", "sudo timedatectl set-ntp true")


def test_network_settings_are_told_and_never_the_token(tmp_path: Path) -> None:
    home = {"EDGELLM_HOME": str(tmp_path / "home")}
    environ = home | {"HF_ENDPOINT": "https://mirror.example", "HF_TOKEN": "hf_secret", "HTTPS_PROXY": "http://u:p@x"}
    found = one(check_network(fake_machine(tmp_path, environ=environ)))
    assert (found.status, "mirror.example" in found.message, "with a token" in found.message) == ("ok", True, True)
    assert "secret" not in found.message
    assert "u:p" not in found.message
    offline = one(check_network(fake_machine(tmp_path, environ=home | {"EDGELLM_OFFLINE": "1"})))
    assert "no connection is opened" in offline.message
    assert one(check_network(fake_machine(tmp_path, environ=home | {"HF_ENDPOINT": "nonsense"}))).status == "problem"


def test_extras_are_information(tmp_path: Path) -> None:
    found = one(check_extras(fake_machine(tmp_path)))
    assert (found.status, "tokenizers" in found.message, "edgellm[pack]" in found.message) == ("ok", True, True)
    found = one(check_extras(fake_machine(tmp_path, version_of=lambda _name: "1.0")))
    assert found.message == "tokenizers 1.0, sentencepiece 1.0, huggingface_hub 1.0"


@pytest.mark.parametrize(
    ("encoding", "status"), [("utf-8", "ok"), ("UTF8", "ok"), ("ANSI_X3.4-1968", "warning"), ("no such", "warning")]
)
def test_a_terminal_that_cannot_show_utf_8_is_told_how(tmp_path: Path, encoding: str, status: str) -> None:
    assert one(check_terminal(fake_machine(tmp_path, encoding=encoding))).status == status
