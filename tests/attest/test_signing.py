"""Keys that ssh-keygen cannot read by itself: with a passphrase, and in an agent."""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.attest.signatures import sign_ssh
from bootstrap.core.errors import BadInput


def make_key(place: Path, passphrase: str) -> Path:
    """An ssh key."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen here: apt-get install openssh-client")
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(place)]
    subprocess.run(command, check=True)
    return place


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An ssh agent without a key."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("no ssh-agent here: apt-get install openssh-client")
    # Not below pytest's folder: the path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="agent-") as folder:
        command = ["ssh-agent", "-D", "-a", f"{folder}/socket"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            # It tells where it listens once it does.
            assert process.stdout.readline().startswith(b"SSH_AUTH_SOCK=")
            monkeypatch.setenv("SSH_AUTH_SOCK", f"{folder}/socket")
            yield
            process.send_signal(signal.SIGTERM)


def test_a_key_whose_private_half_is_in_an_agent(agent: None, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "")
    subprocess.run(["ssh-add", "-q", str(key)], check=True)
    key.unlink()
    made = sign_ssh(b"content", f"{key}.pub")
    listed = subprocess.run(["ssh-add", "-l"], capture_output=True, text=True, check=True)
    assert made.keyid in listed.stdout and made.data.startswith(b"-----BEGIN SSH SIGNATURE-----")
    subprocess.run(["ssh-add", "-q", "-D"], check=True, capture_output=True)
    with pytest.raises(BadInput, match=r"key\.pub: ssh-keygen did not sign: "):
        sign_ssh(b"content", f"{key}.pub")


def test_a_passphrase_that_nobody_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_key(tmp_path / "key", "secret")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    monkeypatch.setenv("SSH_ASKPASS", "false")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with pytest.raises(BadInput) as found:
        sign_ssh(b"content", str(key))
    text = str(found.value)
    assert "passphrase" in text and text.endswith(f"ssh-add {key}, and give --key {key}.pub")
    monkeypatch.setenv("SSH_ASKPASS", str(tmp_path / "ask"))
    (tmp_path / "ask").write_text("#!/bin/sh\necho secret\n")
    (tmp_path / "ask").chmod(0o755)
    assert sign_ssh(b"content", str(key)).data.startswith(b"-----BEGIN SSH SIGNATURE-----")
