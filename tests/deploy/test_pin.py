"""`make pin`: the digest of each image beside its tag. Docker is played by the test."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from deploy.compose.engine import CommandResult, Compose
from deploy.compose.pin import FILES, pin, with_digests
from deploy.errors import ComposeError

ROOT = Path(__file__).resolve().parents[2]
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


class FakeDocker(Compose):
    """Knows `digests` (image -> digest); an image without is not pulled."""

    def __init__(self, root: Path, digest: str, unknown: str = "", local: str = "") -> None:
        super().__init__(root, {})
        self.digest, self.unknown, self.local = digest, unknown, local

    def docker(self, *arguments: str) -> CommandResult:
        image = arguments[-1]
        if arguments[0] == "pull":
            failed = bool(self.unknown) and self.unknown in image
            return CommandResult(int(failed), "", "dial tcp: lookup registry: no such host" if failed else "")
        repository = image.rpartition(":")[0]
        return CommandResult(0, "" if self.local and self.local in image else f"{repository}@{self.digest}\n", "")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def texts(checkout: Path) -> dict[str, str]:
    return {name: (checkout / name).read_text() for name in FILES}


def test_every_image_that_is_not_ours_gets_its_digest(checkout: Path) -> None:
    assert pin(checkout, FakeDocker(checkout, A)) == 0
    for name, text in texts(checkout).items():
        named = re.findall(r"(?:_IMAGE:-|ARG \w+_IMAGE=)([^}\s]+)", text)
        assert named, name
        assert all(image.endswith(f"@{A}") for image in named), named
    assert f"${{PROMETHEUS_IMAGE:-prom/prometheus:v3.15.0@{A}}}" in (checkout / "docker-compose.yml").read_text()


def test_a_later_pin_replaces_the_digest(checkout: Path) -> None:
    pin(checkout, FakeDocker(checkout, A))
    pin(checkout, FakeDocker(checkout, B))
    assert A not in "".join(texts(checkout).values())
    pin(checkout, FakeDocker(checkout, A))
    once = texts(checkout)
    pin(checkout, FakeDocker(checkout, A))
    assert texts(checkout) == once


@pytest.mark.parametrize(
    ("docker", "words"),
    [
        (
            {"unknown": "haproxy"},
            r"haproxy:3\.4\.4: no registry gave it: dial tcp: .*no such host\. Nothing was written",
        ),
        (
            {"local": "loki"},
            r"grafana/loki:3\.7\.8: Docker knows no digest of it: it was built here\. Nothing was writ",
        ),
    ],
)
def test_without_a_registry_nothing_is_written(checkout: Path, docker: dict[str, str], words: str) -> None:
    before = texts(checkout)
    with pytest.raises(ComposeError, match=words):
        pin(checkout, FakeDocker(checkout, A, **docker))
    assert texts(checkout) == before


def test_images_of_ours_and_tags_alone_are_left() -> None:
    text = "image: vllm-monitor/healer:${VLLM_MONITOR_TAG:-local}\nimage: busybox:1\n"
    assert with_digests(text, lambda image: A) == text
