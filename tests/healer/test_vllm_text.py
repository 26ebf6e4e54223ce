"""The values of vLLM's /metrics that prove progress, over releases."""

from __future__ import annotations

import pytest

from vllm_healer.vllm_text import has_own_form, parse_asleep, parse_work

NEW = """\
# HELP vllm:num_requests_running Number of requests.
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="m"} 99.0
vllm:iteration_tokens_total_count{engine="0",model_name="m"} 400.0
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 193286.0
vllm:num_preemptions_total{engine="0",model_name="m"} 4.0
vllm:prompt_tokens_total{engine="0",model_name="m"} 1.9e+05
vllm:generation_tokens_total{engine="0",model_name="m"} 604228.0
"""
OLD = """\
vllm:num_requests_running{model_name="m"} 1
vllm:num_requests_waiting{model_name="m"} 0
vllm:gpu_cache_usage_perc{model_name="m"} 0.5
vllm:prompt_tokens_total{model_name="m"} 10
vllm:generation_tokens_total{model_name="m"} 20
"""


def test_reads_a_new_release_and_adds_engines_up() -> None:
    assert parse_work(NEW) == (5.0, 1.0, 0.25, 400.0, 193286.0, 4.0, 190000.0, 604228.0)


def test_reads_an_old_release_by_its_own_names() -> None:
    assert parse_work(OLD) == (1.0, 0.0, 0.5, -1.0, -1.0, -1.0, 10.0, 20.0)


def test_the_new_name_wins_where_both_are_shown() -> None:
    both = 'vllm:gpu_cache_usage_perc{model_name="m"} 0.5\nvllm:kv_cache_usage_perc{model_name="m"} 0.5\n'
    work = parse_work(both)
    assert work is not None
    assert work[2] == 0.5


@pytest.mark.parametrize("text", ["", "http_requests_total 3\n", "<html>", "vllm:num_requests_running x\n", "vllm:"])
def test_a_page_without_them_has_no_values(text: str) -> None:
    assert parse_work(text) is None


def test_a_broken_line_does_not_hide_the_others() -> None:
    text = 'vllm:num_requests_waiting{a="b\nvllm:num_requests_running{model_name="} x"} 4 1700000000\n'
    work = parse_work(text)
    assert work is not None
    assert work[:2] == (4.0, -1.0)


def test_asleep_is_an_engine_that_says_it_is_not_awake() -> None:
    line = 'vllm:engine_sleep_state{engine="0",model_name="m",sleep_state="%s"} %s\n'
    assert parse_asleep(line % ("awake", "0.0"))
    assert parse_asleep(line % ("awake", "1.0") + line.replace('"0"', '"1"') % ("awake", "0.0"))
    assert not parse_asleep(line % ("awake", "1.0") + line % ("discard_all", "0.0"))
    assert not parse_asleep(NEW)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "1e999", "x", "9" * 5000])
def test_what_is_no_finite_number_costs_its_own_value_only(value: str) -> None:
    page = f'vllm:num_requests_running{{engine="0"}} {value}\nvllm:num_requests_running{{engine="1"}} 2\r\n'
    work = parse_work(page)
    assert work is not None
    assert work[0] == 2.0


def test_a_value_ends_where_its_timestamp_or_exemplar_begins() -> None:
    page = 'vllm:num_requests_running 3.0 1700000000000\nvllm:prompt_tokens_total 7 # {trace_id="a"} 99 1.0\n'
    work = parse_work(page)
    assert work is not None
    assert (work[0], work[6]) == (3.0, 7.0)


# As vLLM 0.32 answers on /health after its EngineCore was killed.
DEAD = {"date": "Mon, 30 Nov 2026 19:55:25 GMT", "server": "uvicorn", "content-length": "0", "vary": "Origin"}


@pytest.mark.parametrize(
    ("body", "headers", "own"),
    [
        (b"", DEAD, True),
        (b"", {"date": DEAD["date"], "content-length": "0"}, True),  # a front end that is not uvicorn
        (b"", {"content-length": "0"}, False),  # HAProxy: http-request return status 503
        (b"", {**DEAD, "server": "Envoy"}, False),
        (b"", {**DEAD, "via": "1.1 google"}, False),
        (b"{}", DEAD, False),
    ],
)
def test_tells_vllms_own_503_from_that_of_somebody_in_between(body: bytes, headers: dict[str, str], own: bool) -> None:
    assert has_own_form(503, body, headers) is own


@pytest.mark.parametrize(
    "server",
    [
        "nginx/1.24.0",
        "istio-envoy",
        "awselb/2.0",
        "Google Frontend",
        "AkamaiGHost",
        "CloudFront",
        "Microsoft-Azure-Application-Gateway/v2",
        "Microsoft-HTTPAPI/2.0",
        "BigIP",
        "Tengine/2.4.1",
        "APISIX/3.9.1",
        "LiteSpeed",
        "Varnish",
        "ATS/9.2.4",
        "Cowboy",
        "Kestrel",
        "",
    ],
)
def test_a_503_under_any_name_but_vllms_own_is_not_vllms(server: str) -> None:
    assert not has_own_form(503, b"", {**DEAD, "server": server})


@pytest.mark.parametrize(
    ("body", "own"), [(b"Internal Server Error", True), (b"", True), (b"boom", False), (b"<html>", False)]
)
def test_releases_before_0_10_say_500_of_an_engine_that_died(body: bytes, own: bool) -> None:
    """vllm-project/vllm#5060: 0.4.2 and 0.5.0 stay up and answer so for ever."""
    assert has_own_form(500, body, DEAD) is own
    assert not has_own_form(500, body, {**DEAD, "server": "nginx"})


def test_the_words_of_a_500_are_no_503_of_vllms() -> None:
    assert not has_own_form(503, b"Internal Server Error", DEAD)
