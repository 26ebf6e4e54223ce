from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import pytest

from deploy.errors import NativeError
from deploy.native.layout import Layout
from deploy.native.programs import Program, parse_addresses, render_conf

EXPORTER = Program("exporter", ("/venv/bin/vllm-exporter", "serve", "--listen", "127.0.0.1:1855"), 1855, "/", {})


def layout(run: str = "/srv/monitor/.run") -> Layout:
    return Layout(Path("/srv/monitor"), Path(run), Path("/srv/monitor/.env"))


def program(**environment: str) -> Program:
    return Program("healer", ("/venv/bin/vllm-healer", "serve"), 1856, "/", environment)


def parse(text: str) -> configparser.RawConfigParser:
    """As supervisord reads it: ';' and '#' after a space begin a comment."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(text)
    return parser


def test_each_part_is_a_program_that_is_restarted_when_it_exits() -> None:
    conf = parse(render_conf(layout(), (EXPORTER, program())))
    assert [name for name in conf.sections() if name.startswith("program:")] == ["program:exporter", "program:healer"]
    assert conf["program:exporter"]["autorestart"] == "true"
    assert conf["program:exporter"]["stdout_logfile"] == "/srv/monitor/.run/logs/exporter.log"
    assert conf["unix_http_server"] == {"file": "/srv/monitor/.run/supervisor.sock", "chmod": "0700"}


def test_a_space_in_the_path_stays_inside_one_argument() -> None:
    spaced = Program("exporter", ("/my venv/vllm-exporter", "serve"), 1855, "/", {})
    assert shlex.split(parse(render_conf(layout(), (spaced,)))["program:exporter"]["command"]) == list(spaced.command)


def test_a_percent_sign_is_no_expansion() -> None:
    conf = render_conf(layout(), (program(VLLM_TARGETS="[fe80::1%eth0]:8000"),))
    assert 'environment = VLLM_TARGETS="[fe80::1%%eth0]:8000"' in conf


@pytest.mark.parametrize("value", ['a"b', "a\nb", "a ;b", "a #b"])
def test_a_value_that_supervisord_would_cut_is_an_error(value: str) -> None:
    with pytest.raises(NativeError, match="VLLM_TARGETS: supervisord cannot carry"):
        render_conf(layout(), (program(VLLM_TARGETS=value),))


def test_a_directory_that_supervisord_would_cut_is_an_error() -> None:
    with pytest.raises(NativeError, match="use a directory without it"):
        render_conf(layout("/srv/a #1/.run"), (EXPORTER,))


def test_a_socket_path_that_the_kernel_would_refuse_is_an_error() -> None:
    with pytest.raises(NativeError, match="longer than a unix socket's path may be"):
        render_conf(layout(f"/srv/{'x' * 80}/.run"), (EXPORTER,))


def test_addresses_are_read_back() -> None:
    prometheus = Program("prometheus", ("/bin/prometheus", "--web.listen-address=127.0.0.1:1090"), 1090, "/", {})
    text = render_conf(layout(), (EXPORTER, program(), prometheus))
    assert parse_addresses(text) == {"exporter": "http://127.0.0.1:1855", "prometheus": "http://127.0.0.1:1090"}
