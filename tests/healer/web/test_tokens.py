"""Three tokens: Alertmanager's only posts alerts, the operator's pauses and reads, the reader's only reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from vllm_healer.errors import ConfigError
from vllm_healer.web import Right, Tokens, WebDeps, create_app

NOTIFICATION = json.dumps({"version": "4", "alerts": []})
POSTS, PAUSES, RESUMES = ("POST", "/alerts"), ("POST", "/pause"), ("POST", "/resume")
MAINTAINS = ("POST", "/maintenance")
APPROVES, REFUSES = ("POST", "/approve"), ("POST", "/refuse")
READS, UNKNOWN = ("GET", "/incidents"), ("GET", "/nowhere")
EVERYTHING = (POSTS, PAUSES, RESUMES, APPROVES, REFUSES, MAINTAINS, READS, UNKNOWN)
WORDS = "Last entries of the journal"  # on the page of who may read


@pytest.fixture
def files(tmp_path: Path) -> Tokens:
    """Three files, each with a token that is called like its right."""
    paths = {}
    for name in ("alerts", "operate", "readonly"):
        path = tmp_path / name
        path.write_text(f"{name}-token\n")
        path.chmod(0o600)
        paths[name] = str(path)
    return Tokens(paths["alerts"], paths["operate"], paths["readonly"])


def client_of(deps: WebDeps, tokens: Tokens) -> FlaskClient:
    config = replace(
        deps.config,
        token_file=tokens.token_file,
        operator_token_file=tokens.operator_token_file,
        read_token_file=tokens.read_token_file,
    )
    return create_app(replace(deps, config=config, tokens=tokens.read)).test_client()


def allowed(client: FlaskClient, token: str) -> set[tuple[str, str]]:
    """The requests that the token is let in for."""
    headers = {"Authorization": f"Bearer {token}"}
    statuses = {
        (method, path): client.open(path, method=method, data=NOTIFICATION, headers=headers).status_code
        for method, path in EVERYTHING
    }
    return {request for request, status in statuses.items() if status != 401}


def reads_words(client: FlaskClient, token: str) -> bool:
    return WORDS in client.get("/", headers={"Authorization": f"Bearer {token}"}).text


def test_each_token_does_what_it_is_for_and_nothing_else(deps: WebDeps, files: Tokens) -> None:
    client = client_of(deps, files)
    assert allowed(client, "alerts-token") == {POSTS}
    assert allowed(client, "operate-token") == {PAUSES, RESUMES, APPROVES, REFUSES, MAINTAINS, READS, UNKNOWN}
    assert allowed(client, "readonly-token") == {READS, UNKNOWN}
    assert allowed(client, "another-token") == set()
    assert [reads_words(client, f"{name}-token") for name in ("alerts", "operate", "readonly")] == [False, True, True]


def test_a_configuration_of_an_earlier_release_has_one_token_for_all(deps: WebDeps, files: Tokens) -> None:
    one = Tokens(files.token_file)
    client = client_of(deps, one)
    assert allowed(client, "alerts-token") == set(EVERYTHING)
    assert allowed(client, "operate-token") == set()
    assert reads_words(client, "alerts-token")
    one.check()
    assert one.warning().startswith("whoever has the token of token_file can pause the healer too")


def test_a_token_for_reading_takes_nothing_from_the_one_for_all(deps: WebDeps, files: Tokens) -> None:
    client = client_of(deps, Tokens(files.token_file, read_token_file=files.read_token_file))
    assert allowed(client, "alerts-token") == set(EVERYTHING)
    assert allowed(client, "readonly-token") == {READS, UNKNOWN}


def test_who_is_refused_is_told_which_setting_names_the_token(deps: WebDeps, files: Tokens) -> None:
    client = client_of(deps, files)
    headers = {"Authorization": "Bearer alerts-token"}
    fixes = [client.open(path, method=method, headers=headers).json for method, path in (PAUSES, READS)]
    assert [fix["fix"] for fix in fixes if fix is not None] == [
        "send 'Authorization: Bearer' with the token of operator_token_file",
        "send 'Authorization: Bearer' with the token of operator_token_file or read_token_file",
    ]


def test_a_file_that_is_gone_stops_only_what_it_is_for(deps: WebDeps, files: Tokens) -> None:
    Path(files.operator_token_file).unlink()
    client = client_of(deps, files)
    headers = {"Authorization": "Bearer alerts-token"}
    assert client.post("/alerts", data=NOTIFICATION, headers=headers).status_code == 200
    assert client.post("/pause", headers=headers).status_code == 503


def test_separate_files_are_in_order_and_warn_of_nothing(files: Tokens) -> None:
    files.check()
    assert files.warning() == ""


def test_two_files_with_the_same_token_separate_nothing_and_are_refused(files: Tokens) -> None:
    Path(files.operator_token_file).write_text("alerts-token")
    with pytest.raises(ConfigError, match="operator_token_file and token_file hold the same token") as caught:
        files.check()
    assert "alerts-token" not in str(caught.value)


def test_a_token_that_can_be_guessed_is_named_by_its_setting(files: Tokens) -> None:
    Path(files.read_token_file).write_text("short")
    with pytest.raises(ConfigError, match=r"^read_token_file .*readonly: the token has 5 characters"):
        files.check()


@pytest.mark.parametrize("path", ["/alerts/", "/alerts?x=1"])
def test_another_spelling_of_the_path_has_the_same_right(deps: WebDeps, files: Tokens, path: str) -> None:
    client = client_of(deps, files)
    headers = {"Authorization": "Bearer operate-token"}
    assert client.post(path, data=NOTIFICATION, headers=headers, follow_redirects=True).status_code == 401


def test_the_settings_of_each_right(files: Tokens) -> None:
    assert [files.settings(right) for right in Right] == [
        ("token_file",),
        ("operator_token_file",),
        ("operator_token_file", "read_token_file"),
    ]
