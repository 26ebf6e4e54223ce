"""What one more plug-in costs: each sample is put into a copy of the checkout, and the contract tests run there.

A sample is a folder of samples/: `path.new` is a new file, `path.append` is added to the end of one, and the first line
of `path.insert` is the one after which the others are put.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = Path(__file__).parent / "samples"
NAMES = {
    "collector": "collector",
    "kind of event": "event",
    "class of log lines": "log_class",
    "alert": "alert",
    "detector": "detector",
    "remediation": "remediation",
    "channel to people": "channel",
}
RUN = (
    "tests/contract", "tests/scripts", "tests/exporter/config", "tests/exporter/facts", "tests/exporter/metrics",
    "tests/exporter/test_plugins.py", "tests/exporter/test_cli.py", "tests/exporter/subjects/logs/test_table.py",
    "tests/exporter/subjects/test_entropy.py", "tests/exporter/subjects/test_entropy_events.py",
    "tests/healer/detectors", "tests/healer/remediations", "tests/healer/pipeline", "tests/deploy/channels",
    "tests/deploy/test_keys.py",
)  # fmt: skip


def files(sample: str) -> dict[Path, list[Path]]:
    """Paths in the checkout, with the parts of the sample that change each."""
    found: dict[Path, list[Path]] = {}
    for part in sorted((SAMPLES / sample).rglob("*")):
        if part.is_file():
            found.setdefault(part.relative_to(SAMPLES / sample).with_suffix(""), []).append(part)
    return found


def apply(part: Path, target: Path) -> None:
    if part.suffix == ".new":
        assert not target.exists(), target
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(part.read_text())
    elif part.suffix == ".append":
        target.write_text(target.read_text() + part.read_text())
    else:
        anchor, _, rest = part.read_text().partition("\n")
        before, found, after = target.read_text().partition(f"{anchor}\n")
        assert found, f"{target} has no line {anchor!r}"
        target.write_text(before + found + rest + after)


def promised() -> dict[str, int]:
    """The number of files by CONTRIBUTING's table."""
    rows = re.findall(r"^\| ([a-z ]+) \| (\d+) \| ", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    return {what: int(number) for what, number in rows}


def test_the_table_promises_something_of_every_sample() -> None:
    assert set(promised()) == set(NAMES)
    assert {folder.name for folder in SAMPLES.iterdir()} == set(NAMES.values())


@pytest.mark.parametrize(("what", "sample"), NAMES.items())
def test_costs_no_more_files_than_promised(what: str, sample: str) -> None:
    assert len(files(sample)) <= promised()[what]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with all samples in it, and its generated files up to date."""
    copy = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(Path(sys.executable).parents[1])
    for sample in NAMES.values():
        for path, parts in files(sample).items():
            for part in parts:
                apply(part, copy / path)
    run(copy, "scripts/docs.sh")
    return copy


def run(copy: Path, *command: str) -> None:
    """Raises AssertionError with what the command said when it fails. Modules come from the copy."""
    paths = os.pathsep.join(str(copy / part) for part in ("", "exporter", "healer"))
    done = subprocess.run(
        command, cwd=copy, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=140
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"


def test_the_contract_tests_pass_with_them(checkout: Path) -> None:
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *RUN)
    run(checkout, *pytest_, f"--ignore=tests/contract/{Path(__file__).name}")


def test_the_layers_and_the_linter_hold_with_them(checkout: Path) -> None:
    run(checkout, str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    run(checkout, str(Path(sys.executable).with_name("ruff")), "check", "--no-cache", ".")


@pytest.mark.real
@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on PATH: make install")
def test_the_alert_fires_and_stays_quiet(checkout: Path) -> None:
    run(checkout, "promtool", "test", "rules", "prometheus/tests/entropy.test.yml")
