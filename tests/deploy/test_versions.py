from __future__ import annotations

import pytest

from deploy.config.versions import version_of_image, version_said


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("prom/alertmanager:v0.25.0", (0, 25)),
        ("localhost:5000/prom/alertmanager:v0.34.2@sha256:0123", (0, 34)),
        ("prom/alertmanager:latest", None),
        ("localhost:5000/alertmanager", None),
        ("", None),
    ],
)
def test_a_tag_tells_the_release(image: str, version: tuple[int, int] | None) -> None:
    assert version_of_image(image) == version


def test_the_program_tells_its_release() -> None:
    assert version_said("alertmanager, version 0.25.0 (branch: debian/sid, revision: 0.25.0-1+b4)") == (0, 25)
    assert version_said("flag provided but not defined") is None
