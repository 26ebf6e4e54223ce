"""Secrets as people and as Docker and Kubernetes leave them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from vllm_healer.config.checks import check_secret
from vllm_healer.errors import ConfigError
from vllm_healer.secret_mode import exposed
from vllm_healer.web import read_token

TOKEN = "0123456789abcdef"


def secret(folder: Path, mode: int) -> str:
    path = folder / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640, 0o660])
def test_what_owner_or_group_may_use_is_closed(tmp_path: Path, mode: int) -> None:
    assert exposed(secret(tmp_path, mode)) == ""


@pytest.mark.parametrize("mode", [0o444, 0o644, 0o604, 0o602, 0o601, 0o777])
def test_what_everybody_may_use_is_said_with_a_way_for_containers_too(tmp_path: Path, mode: int) -> None:
    path = secret(tmp_path, mode)
    words = f"is open to every user (mode {mode:04o}); run: chmod 600 {path} (in a container, or mount it read-only)"
    assert exposed(path) == words
    with pytest.raises(ConfigError, match="is open to every user"):
        check_secret(path, "healer.yml line 3: token_file")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs, as both mount secrets; a test fills it and remounts it."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    if os.geteuid() != 0 or not mount(folder, "size=1m"):
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def mount(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("mode", [0o444, 0o644])
def test_on_a_read_only_mount_the_mode_is_docker_s_and_the_token_is_taken(mounted: Path, mode: int) -> None:
    path = secret(mounted, mode)
    assert exposed(path) != ""
    assert mount(mounted, "remount,ro")
    assert check_secret(path, "token_file") == path
    assert read_token(path) == TOKEN


def test_a_secret_behind_kubernetes_links_is_taken(mounted: Path) -> None:
    """token -> ..data/token, ..data -> ..2026_11_30: a rotation replaces the second link."""
    (mounted / "..2026").mkdir()
    secret(mounted / "..2026", 0o644)
    (mounted / "..data").symlink_to("..2026")
    (mounted / "token").symlink_to("..data/token")
    assert mount(mounted, "remount,ro")
    assert check_secret(str(mounted / "token"), "token_file") == str(mounted / "token")
    assert read_token(str(mounted / "token")) == TOKEN
