"""Natively as root: who runs what, and what each may read. Real users need root; what is decided is tested without."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.errors import NativeError
from deploy.native import accounts
from deploy.native.accounts import Account, Accounts, choose_accounts, first_closed, hand_over, trusted_users
from deploy.native.layout import Layout
from deploy.native.programs import Program, render_conf
from deploy.native.up import with_user

PROGRAMS = {"exporter": "/x/vllm-exporter", "prometheus": "/bin/prometheus", "alertmanager": "/bin/alertmanager"}
THREE = {f"vllm-{part}": Account(f"vllm-{part}", uid, uid) for uid, part in enumerate(PROGRAMS, 901)}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, tmp_path / "run", tmp_path / ".env")


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> dict[str, Account]:
    """The users of a machine that is root's; each may reach everything, and useradd makes what is missing."""
    known: dict[str, Account] = {}

    def run(command: list[str], **_: object) -> SimpleNamespace:
        known[command[-1]] = THREE[command[-1]]
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(accounts, "find_account", known.get)
    monkeypatch.setattr(accounts, "subprocess", SimpleNamespace(run=run))
    monkeypatch.setattr(accounts, "_unreachable", lambda *_: "")
    return known


def test_another_user_than_root_runs_everything_as_himself(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert choose_accounts(layout, PROGRAMS, "") == Accounts({})


def test_each_part_but_the_healer_gets_a_user_of_its_own_made_once(layout: Layout, users: dict[str, Account]) -> None:
    chosen = choose_accounts(layout, PROGRAMS, "")
    assert {part: account.name for part, account in chosen.of.items()} == {
        "exporter": "vllm-exporter",
        "prometheus": "vllm-prometheus",
        "alertmanager": "vllm-alertmanager",
    }
    assert chosen.warnings == ()
    users["vllm-exporter"] = Account("vllm-exporter", 77, 77)
    assert choose_accounts(layout, PROGRAMS, "").of["exporter"].uid == 77


def test_a_grafana_that_is_started_gets_a_user_too_who_is_told_nothing(
    layout: Layout, users: dict[str, Account]
) -> None:
    users["vllm-grafana"] = Account("vllm-grafana", 904, 904)
    chosen = choose_accounts(layout, {**PROGRAMS, "grafana": "/bin/grafana"}, "")
    assert chosen.of["grafana"].name == "vllm-grafana"
    assert trusted_users() == {0, 901, 902, 903}


def test_the_exporter_runs_as_the_user_of_the_settings(layout: Layout, users: dict[str, Account]) -> None:
    users["watcher"] = Account("watcher", 500, 500)
    assert choose_accounts(layout, PROGRAMS, "watcher").of["exporter"] == Account("watcher", 500, 500)
    assert choose_accounts(layout, PROGRAMS, "root").of["exporter"].is_root
    assert choose_accounts(layout, PROGRAMS, "root").apart == ("prometheus", "alertmanager")


def test_a_user_of_the_settings_that_is_not_there_is_an_error(layout: Layout, users: dict[str, Account]) -> None:
    with pytest.raises(NativeError, match="EXPORTER_USER is 'watcher', and there is no such user: `useradd --system"):
        choose_accounts(layout, PROGRAMS, "watcher")


def test_a_user_who_reaches_nothing_leaves_the_part_to_root_and_says_so(
    layout: Layout, users: dict[str, Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "_unreachable", lambda account, program, _: "closed" if "exporter" in program else "")
    chosen = choose_accounts(layout, PROGRAMS, "")
    assert chosen.of["exporter"].is_root
    assert chosen.warnings == ("exporter runs as root, not as vllm-exporter: closed",)
    assert chosen.apart == ("prometheus", "alertmanager")


def test_a_closed_directory_on_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed" / "x").mkdir(parents=True)
    tmp_path.chmod(0o755)
    (tmp_path / "closed").chmod(0o700)
    closed = first_closed(tmp_path / "closed" / "x" / "file")
    assert closed is not None
    assert not closed.stat().st_mode & 0o001
    assert first_closed(Path("/usr/bin/env")) is None


def test_supervisord_starts_a_part_as_its_user_with_no_home_of_root(layout: Layout) -> None:
    program = Program("prometheus", ("/bin/prometheus",), 1090, "/", {"A": "1"})
    chosen = Accounts({"prometheus": Account("vllm-prometheus", 901, 901)})
    started = with_user(program, chosen)
    conf = render_conf(layout, (started, with_user(Program("healer", ("x",), 1, "/", {}), chosen)))
    part, healer = conf.split("[program:")[1:]
    assert "user = vllm-prometheus\n" in part
    assert 'environment = A="1",HOME="/nonexistent",LOGNAME="vllm-prometheus",USER="vllm-prometheus"' in part
    assert "user" not in healer


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_part_reads_what_it_is_given_and_replaces_none_of_it(layout: Layout) -> None:
    config, mine = layout.run / "config", Account("x", 901, 902)
    for name in ("config/prometheus/rules/a.yml", "config/healer.yml", "secrets/token", "data/prometheus/wal/1"):
        (layout.run / name).parent.mkdir(parents=True, exist_ok=True)
        (layout.run / name).write_text("x")
        (layout.run / name).chmod(0o600)
    layout.data("alertmanager").mkdir()
    (layout.run / "secrets").chmod(0o700)
    hand_over(layout, config, Accounts({"prometheus": mine, "alertmanager": Account("root", 0, 0)}))

    def owner(name: str) -> tuple[int, int, int]:
        found = (layout.run / name).stat()
        return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)

    assert owner("config/prometheus") == owner("config/prometheus/rules") == (0, 902, 0o750)
    assert owner("config/prometheus/rules/a.yml") == owner("data/prometheus/wal/1") == (901, 902, 0o600)
    assert owner("data/prometheus")[:2] == (901, 902)
    assert owner("config/healer.yml") == owner("secrets/token") == (0, 0, 0o600)
    assert owner("secrets") == (0, 0, 0o700)
    assert owner(".") == owner("config") == owner("data") == (0, 0, 0o711)
    assert owner("data/alertmanager")[:2] == (0, 0)
