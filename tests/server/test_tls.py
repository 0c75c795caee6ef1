"""HTTPS by two files."""

from __future__ import annotations

import shutil
import signal
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from serve_rig import serving, wait_until

from cli_process import Cli


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two certificates of their own, each with its key, and one with a password."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("first", "second"):
        command = [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ]
        command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        command += ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    locked = [openssl, "pkey", "-in", str(folder / "first.key"), "-aes256", "-passout", "pass:x"]
    subprocess.run([*locked, "-out", str(folder / "locked.key")], check=True, capture_output=True, timeout=60)
    return folder


def asked(url: str, trusted: Path) -> int:
    context = ssl.create_default_context(cafile=str(trusted))
    return httpx.get(f"{url}/api/edgellm/version", verify=context, trust_env=False, timeout=60).status_code


def test_a_client_that_trusts_the_certificate_is_answered(certificates: Path, tmp_path: Path) -> None:
    files = ("--tls-cert", certificates / "first.pem", "--tls-key", certificates / "first.key")
    with serving(tmp_path / "home", *files) as server:
        assert server.url.startswith("https://")
        assert asked(server.url, certificates / "first.pem") == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            asked(server.url, certificates / "second.pem")
        with pytest.raises(httpx.TransportError):
            httpx.get(server.url.replace("https", "http"), trust_env=False, timeout=60)
        with server.unix_client() as client:  # this user's alone: without TLS
            assert client.get("/api/edgellm/version").status_code == 200


def test_a_new_certificate_is_taken_at_sighup_and_a_broken_one_is_not(certificates: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "now.pem", tmp_path / "now.key"

    def put(name: str) -> None:
        shutil.copy(certificates / f"{name}.pem", certificate)
        shutil.copy(certificates / f"{name}.key", key)

    put("first")
    with serving(tmp_path / "home", "--tls-cert", certificate, "--tls-key", key) as server:
        put("second")
        server.signal(signal.SIGHUP)
        wait_until(lambda: "settings read again" in server.said(), "the reload")
        assert asked(server.url, certificates / "second.pem") == 200
        certificate.write_text("no certificate")
        server.signal(signal.SIGHUP)
        wait_until(lambda: "the former settings stay" in server.said(), "the refusal")
        assert asked(server.url, certificates / "second.pem") == 200


@pytest.mark.parametrize(
    ("certificate", "key", "status", "expected"),
    [
        ("first.pem", "second.key", 2, "cannot be used"),
        ("first.key", "first.key", 2, "cannot be used"),
        ("nowhere.pem", "first.key", 3, "nowhere.pem"),
        ("first.pem", "nowhere.key", 3, "nowhere.key"),
        ("first.pem", "locked.key", 2, "has a password"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    certificates: Path, tmp_path: Path, certificate: str, key: str, status: int, expected: str
) -> None:
    refused = Cli(tmp_path).run(
        *("serve", "--port", "0", "--tls-cert", certificates / certificate, "--tls-key", certificates / key),
        status=status,
    )
    assert expected in refused.stderr
