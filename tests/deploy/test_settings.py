from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.config.settings import Ports, Settings, load_settings
from deploy.config.targets import Target
from deploy.errors import SettingsError


def load(tmp_path: Path, text: str = "", environ: Mapping[str, str] | None = None) -> Settings:
    (tmp_path / ".env").write_text(text)
    return load_settings(tmp_path / ".env", environ or {}, "gpu1")


def test_nothing_set_is_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path) == Settings()


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, "PROMETHEUS_PORT=1001\nHEALER_PORT=1002\n", {"PROMETHEUS_PORT": "2001"})
    assert settings.ports == Ports(prometheus=2001, healer=1002)


@pytest.mark.parametrize(("value", "where"), [("x", r"\.env line 1"), ("y", "the environment")])
def test_a_message_names_the_line_unless_the_environment_says_otherwise(tmp_path: Path, value: str, where: str) -> None:
    """docker compose copies .env into the environment of its containers."""
    with pytest.raises(SettingsError, match=rf"^{where}: HEALER_PORT is '{value}'"):
        load(tmp_path, "HEALER_PORT=x\n", {"HEALER_PORT": value})


def test_an_empty_value_is_not_set(tmp_path: Path) -> None:
    assert load(tmp_path, "VLLM_TARGETS=\nPROMETHEUS_PORT=\n") == Settings()


def test_an_unknown_name_of_ours_is_an_error_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"\.env line 2: unknown setting 'VLLM_LOGGING_LEVEL'; known: VLLM_API_KEY_FILE, "
    ):
        load(tmp_path, "\nVLLM_LOGGING_LEVEL=DEBUG\n")


@pytest.mark.parametrize(("slip", "meant"), [("PROMETHUES_PORT", "PROMETHEUS_PORT"), ("VLLM_TARGET", "VLLM_TARGETS")])
def test_a_slip_is_an_error_with_the_likely_name(tmp_path: Path, slip: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=rf"\.env line 1: unknown setting '{slip}': write {meant}, if that"):
        load(tmp_path, f"{slip}=1\n")


def test_names_of_docker_compose_are_left_alone(tmp_path: Path) -> None:
    text = "PROMETHEUS_IMAGE=prom/prometheus:v3\nCOMPOSE_PROJECT_NAME=x\n"
    assert load(tmp_path, text) == Settings()


def test_variables_of_vllm_itself_in_the_environment_are_left_alone(tmp_path: Path) -> None:
    assert load(tmp_path, "", {"VLLM_LOGGING_LEVEL": "DEBUG"}) == Settings()


def test_targets_become_servers(tmp_path: Path) -> None:
    assert load(tmp_path, "VLLM_TARGETS=localhost:8000, https://gpu2:8443\n").targets == (
        Target("localhost:8000", "gpu1:8000"),
        Target("gpu2:8443", "gpu2:8443", "https"),
    )


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "9090.0"])
def test_a_port_that_is_none_names_the_line(tmp_path: Path, port: str) -> None:
    with pytest.raises(SettingsError, match=rf"\.env line 1: HEALER_PORT is '{port}', not a port from 1 to 65535"):
        load(tmp_path, f"HEALER_PORT={port}\n")


def test_two_parts_on_one_port_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="EXPORTER_PORT and PROMETHEUS_PORT are both 9855"):
        load(tmp_path, "PROMETHEUS_PORT=9855\n")


def test_the_healers_mode_is_passed_to_the_healer(tmp_path: Path) -> None:
    assert load(tmp_path, "VLLM_HEALER_MODE=act\n").passed == {"healer": {"VLLM_HEALER_MODE": "act"}}


def test_a_relative_file_is_looked_for_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1\n")
    passed = load(tmp_path, "VLLM_API_KEY_FILE=key\n").passed
    assert passed == {"exporter": {"VLLM_API_KEY_FILE": str(tmp_path / "key")}}


def test_a_file_that_is_not_there_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError,
        match=r"\.env line 1: VLLM_API_KEY_FILE: .*/key cannot be read: No such file or directory; correct",
    ):
        load(tmp_path, "VLLM_API_KEY_FILE=key\n")


def test_an_empty_secret_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    with pytest.raises(SettingsError, match=r"VLLM_API_KEY_FILE: .*/key is empty; write the value into it"):
        load(tmp_path, "VLLM_API_KEY_FILE=key\n")
