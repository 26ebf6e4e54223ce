"""`pin`: writes the digest of each image beside its tag, so that the tag cannot come to mean another image."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from deploy.compose.engine import Compose
from deploy.errors import ComposeError

# Images are defaults of variables in them: ${PYTHON_IMAGE:-…} in compose files, ARG PYTHON_IMAGE=… in Dockerfiles.
FILES = (
    "docker-compose.yml",
    "deploy/demo/compose.yml",
    "deploy/demo/Dockerfile",
    "exporter/Dockerfile",
    "healer/Dockerfile",
)
_IMAGE = re.compile(r"(?P<before>\$\{\w+_IMAGE:-|ARG \w+_IMAGE=)(?P<image>[\w./:-]+)(?:@sha256:[0-9a-f]{64})?")
_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})$", re.MULTILINE)


def pin(root: Path, compose: Compose) -> int:
    """Pulls each image and writes its digest. Returns 0. Raises ComposeError, with every file as it was."""
    texts = {root / name: (root / name).read_text(encoding="utf-8") for name in FILES}
    images = sorted({found["image"] for text in texts.values() for found in _IMAGE.finditer(text)})
    digests = {image: find_digest(image, compose) for image in images}
    for path, text in texts.items():
        path.write_text(with_digests(text, digests.__getitem__), encoding="utf-8")
    print(*(f"{image}@{digest}" for image, digest in digests.items()), sep="\n")
    print("`git diff` shows it, `make up` uses it; after an upgrade that names other tags: `make pin` again")
    return 0


def with_digests(text: str, digest_of: Callable[[str], str]) -> str:
    """Returns the text with a digest behind each image, in place of an older one."""
    return _IMAGE.sub(lambda found: f"{found['before']}{found['image']}@{digest_of(found['image'])}", text)


def find_digest(image: str, compose: Compose) -> str:
    """Asks the image's registry, by a pull. Raises ComposeError when it does not answer."""
    pulled = compose.docker("pull", "--quiet", image)
    if pulled.code:
        said = (pulled.err or pulled.out).strip()[-300:]
        raise ComposeError(f"{image}: no registry gave it: {said}. Nothing was written: try again where one answers")
    known = compose.docker("image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', image)
    digests = _DIGEST.findall(known.out)
    if known.code or not digests:
        raise ComposeError(f"{image}: Docker knows no digest of it: it was built here. Nothing was written")
    return str(digests[0])
