"""The command by which a person sheds load."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_monitor.__main__ import main
from vllm_monitor.limits import Limit
from vllm_monitor.order_file import NAME, read_order
from vllm_monitor.throttle_command import seconds_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VLLM_MONITOR_DIR", str(tmp_path))
    return tmp_path


def limits(folder: Path) -> tuple[Limit, ...]:
    order = read_order(folder)
    return order.limits if order else ()


def test_on_show_and_off(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["throttle", "show"]) == 0
    assert main(["throttle", "on", "--concurrency", "16", "--for", "90s", "--status", "503"]) == 0
    assert limits(folder) == (Limit(concurrency=16),)
    assert main(["throttle", "show"]) == 0
    assert main(["throttle", "off"]) == 0
    assert limits(folder) == ()
    assert capsys.readouterr().out.splitlines() == [
        "throttle: off",
        "throttle: on for 90 s, answers 503: concurrency=16",
        "throttle: on for 90 s, answers 503: concurrency=16",
        "throttle: off",
    ]


def test_a_limit_is_set_in_place_of_others_or_added(folder: Path) -> None:
    about = ["--model", "org/m", "--tenant", "acme", "--priority-from", "2", "--port", "8001"]
    main(["throttle", "on", "--requests-per-second", "0.5", *about])
    one = Limit(requests_per_second=0.5, model="org/m", tenant="acme", priority_from=2, port=8001)
    assert limits(folder) == (one,)
    main(["throttle", "on", "--tokens-per-second", "1000", "--add"])
    assert limits(folder) == (one, Limit(tokens_per_second=1000.0))
    main(["throttle", "on", "--concurrency", "0"])
    assert limits(folder) == (Limit(concurrency=0),)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("throttle on", "limits nothing; give concurrency"),
        ("throttle on --concurrency -1", "from 0 to"),
        ("throttle on --requests-per-second nan", "from 0 to"),
        ("throttle on --concurrency 1 --port 70000", "port of limit 1"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, words: str
) -> None:
    assert main(arguments.split()) == 1
    assert words in capsys.readouterr().err
    assert not (folder / NAME).exists()


@pytest.mark.parametrize("arguments", ["", "throttle", "throttle on --for 3d", "throttle on --status 200"])
def test_wrong_use_exits_with_2(arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2


def test_a_file_of_others_is_named_with_the_fix_and_off_replaces_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / NAME).write_text("{")
    assert main(["throttle", "show"]) == 1
    assert f"{folder / NAME}: it is no JSON" in capsys.readouterr().err
    assert main(["throttle", "off"]) == 0
    assert main(["throttle", "show"]) == 0


def test_without_the_directory_the_variable_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_MONITOR_DIR", "/absent")
    assert main(["throttle", "off"]) == 1
    assert "this user cannot write into /absent" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("24h", 86_400)])
def test_a_time_is_written_as_in_prometheus(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds
