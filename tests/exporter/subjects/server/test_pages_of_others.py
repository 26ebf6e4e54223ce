"""Pages of /metrics as Ray, relabelling, plug-ins and hostile servers write them; case ids are of public reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import EngineValues
from vllm_exporter.subjects.server.engine import EngineReading
from vllm_exporter.subjects.server.metrics import MAX_ENGINES, parse_metrics

IDLE = b"vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"


def read(text: bytes) -> EngineReading:
    reading = parse_metrics(text)
    assert reading is not None
    return reading


def test_reads_ray_serves_names_by_the_worker_that_has_them(fixtures: Path) -> None:
    """M02, of Datadog's fixture for Ray 2.32."""
    reading = read((fixtures / "vllm_by_ray_serve.prom").read_bytes())
    seen = EngineValues(1, 0, kv_usage=5.882698982295764e-05, prompt_tokens=58, generation_tokens=300)
    assert (reading.engines, reading.values) == ({"6ad5": seen}, seen)


def test_the_start_of_rays_own_process_is_not_taken_for_the_servers(fixtures: Path) -> None:
    assert read((fixtures / "vllm_by_ray_serve.prom").read_bytes()).started is None


@pytest.mark.parametrize("prefix", [b"ray_vllm:", b"ray_vllm_", b"vllm_", b"prod_vllm:", b"otel_vllm_"])
def test_reads_vllms_names_behind_any_prefix_with_its_name(prefix: bytes) -> None:
    text = b"%bnum_requests_running 2\n%bnum_requests_waiting 1\n%bprompt_tokens_total 7\n".replace(b"%b", prefix)
    assert read(text).values == EngineValues(2, 1, prompt_tokens=7)


def test_workers_of_ray_are_engines_of_their_own_and_added_up() -> None:
    ids = [b"a" * 56, b"b" * 56]
    lines = [
        b'ray_vllm_num_requests_%b{WorkerId="%b",engine="0"} 3\n' % (what, one)
        for one in ids
        for what in (b"running", b"waiting")
    ]
    reading = read(b"".join(lines))
    assert list(reading.engines) == ["aaaaaaaaaaaa_0", "bbbbbbbbbbbb_0"]
    assert reading.values == EngineValues(6, 6)


def test_counters_that_ray_exports_without_total_are_read() -> None:
    text = b"ray_vllm_num_requests_running 1\nray_vllm_num_requests_waiting 0\nray_vllm_generation_tokens 9\n"
    assert read(text).values.generation_tokens == 9


def test_of_several_prefixes_that_of_most_families_is_vllms() -> None:
    """A proxy on the same page counts tokens of its own."""
    page = b"my_vllm_proxy_prompt_tokens_total 3\nray_vllm_num_requests_running 1\nray_vllm_num_requests_waiting 0\n"
    assert read(page).values == EngineValues(1, 0)


def test_vllms_own_names_win_over_copies_of_them() -> None:
    copies = b"vllm_num_requests_running 9\nvllm_num_requests_waiting 9\n"
    assert read(copies + IDLE).values == EngineValues(0, 0)


def test_says_which_name_it_found_when_nobody_calls_it_vllms() -> None:
    """As NVIDIA's NIM does, which drops the prefix."""
    with pytest.raises(SourceError, match="no vllm: families, but num_requests_running"):
        parse_metrics(b'num_requests_running{model_name="m"} 2.0\nnum_requests_waiting{model_name="m"} 0.0\n')


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (
            b'vllm_num_requests_running_ratio{engine="0"} 2',
            "vllm_num_requests_running_ratio",
        ),  # OpenTelemetry's unit "1"
        (b'{"vllm.num_requests_running",engine="0"} 2', "vllm.num_requests_running"),  # Prometheus 3, UTF-8 names
        (b'{"vllm:num_requests_running", engine="0"} 2', "vllm:num_requests_running"),
    ],
)
def test_says_which_form_of_vllms_names_it_found_and_does_not_read(line: bytes, name: str) -> None:
    with pytest.raises(SourceError, match=f"but {name} in a form that is not read"):
        parse_metrics(b"# TYPE x gauge\n" + line + b"\n")


def test_a_longer_name_with_vllms_prefix_does_not_hide_relabelled_ones() -> None:
    page = b"vllm:num_requests_running_by_team 1\nvllm_num_requests_running 2\nvllm_num_requests_waiting 1\n"
    assert read(page).values == EngineValues(2, 1)


@pytest.mark.parametrize("other", [b"sglang:num_running_reqs 1\n", b"tgi_queue_size 0\n", b"trtllm_num_requests 1\n"])
def test_another_engines_page_has_no_families_of_vllm(other: bytes) -> None:
    assert parse_metrics(other) is None


def test_a_page_that_only_speaks_of_vllms_names_has_no_families() -> None:
    assert parse_metrics(b"# HELP x as vllm:num_requests_waiting says\nx 1\n") is None


def test_a_plug_ins_family_alone_is_no_data_and_no_cut_text(fixtures: Path) -> None:
    """M07: statistics are off."""
    assert parse_metrics((fixtures / "vllm_plugin_family_only.prom").read_bytes()) is None


def test_a_whole_page_without_a_family_is_not_called_cut() -> None:
    with pytest.raises(SourceError) as refused:
        parse_metrics(b"vllm:num_requests_running 1\n")
    assert str(refused.value) == "/metrics has vllm: families but not vllm:num_requests_waiting"


def test_a_page_that_ends_within_a_line_is_called_cut() -> None:
    with pytest.raises(SourceError, match="not vllm:num_requests_waiting; the text seems to be cut"):
        parse_metrics(
            b"vllm:num_requests_running 1\n# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{"
        )


def test_a_text_without_comments_loses_only_its_last_family_when_it_is_cut() -> None:
    text = IDLE + b'vllm:prompt_tokens_total{engine="0"} 5\nvllm:prompt_tokens_total{engine="1"} 1'
    assert read(text).values == EngineValues(0, 0)


def test_a_page_of_which_http_says_that_it_is_whole_may_end_without_a_line_break() -> None:
    text = b"# TYPE a gauge\n" + IDLE + b"# TYPE vllm:prompt_tokens_total counter\nvllm:prompt_tokens_total 5"
    assert read(text).values == EngineValues(0, 0)
    whole = parse_metrics(text, whole=True)
    assert whole is not None
    assert whole.values == EngineValues(0, 0, prompt_tokens=5)


def test_openmetrics_may_end_without_a_line_break() -> None:
    assert read(IDLE + b"# EOF").values == EngineValues(0, 0)


def test_text_behind_a_hash_is_an_exemplar_and_no_value() -> None:
    text = (
        b'vllm:num_requests_running{engine="0"} 2 # {trace_id="a}b"} 7 1700000000.1\n'
        b'vllm:num_requests_waiting{engine="0"} 1 1700000000 # {} 9\n'
        b'vllm:prompt_tokens_total 12 # {span_id="x # y"} 1.0\n'
        b'vllm:iteration_tokens_total_count{model_name="a#b"} 5 # {t="1"} 3\n'
    )
    assert read(text).values == EngineValues(2, 1, prompt_tokens=12, iterations=5)


def test_blanks_between_labels_are_allowed() -> None:
    text = b'vllm:num_requests_running{ model_name="m" , engine = "3", } 2\nvllm:num_requests_waiting{engine="3"} 0\n'
    assert list(read(text).engines) == ["3"]


def test_a_nan_drops_its_own_value_only(fixtures: Path) -> None:
    """M09."""
    reading = read((fixtures / "vllm_nan_in_one_gauge.prom").read_bytes())
    assert reading.values == EngineValues(2, 1, kv_usage=0.5, prompt_tokens=10)


TWO = (
    b'vllm:num_requests_running{engine="0"} 1\nvllm:num_requests_running{engine="1"} 2\n'
    b'vllm:num_requests_waiting{engine="0"} 3\nvllm:num_requests_waiting{engine="1"} 4\n'
    b'vllm:prompt_tokens_total{engine="0"} 5\nvllm:prompt_tokens_total{engine="1"} 6\n'
)


@pytest.mark.parametrize("impossible", [b"NaN", b"+Inf", b"-Inf", b"-1", b"1e999", b"9" * 5000])
def test_a_gauge_that_cannot_be_is_left_out_and_the_others_are_kept(impossible: bytes) -> None:
    reading = read(TWO.replace(b'running{engine="1"} 2', b'running{engine="1"} ' + impossible))
    assert reading.engines["1"] == EngineValues(None, 4, prompt_tokens=6)
    assert reading.values == EngineValues(1, 7, prompt_tokens=11)


def test_a_counter_of_all_engines_is_not_known_while_that_of_one_is_not() -> None:
    """Without that engine it would fall, as after a restart."""
    reading = read(TWO.replace(b'total{engine="1"} 6', b'total{engine="1"} NaN'))
    assert reading.values == EngineValues(3, 7)
    assert reading.engines["0"].prompt_tokens == 5


def test_a_server_whose_only_number_of_running_requests_is_nan_keeps_the_rest() -> None:
    text = b"vllm:num_requests_running NaN\nvllm:num_requests_waiting 2\nvllm:kv_cache_usage_perc 0.5\n"
    assert read(text).values == EngineValues(None, 2, kv_usage=0.5)
    assert read(text).values.work


def test_failed_requests_are_not_known_while_one_of_the_counts_is_nan() -> None:
    text = IDLE + b'http_requests_total{status="5xx"} 3\nhttp_requests_total{method="GET",status="5xx"} NaN\n'
    assert read(text).failed is None


def engines(count: int) -> bytes:
    names = [b"%d" % number for number in range(count)]
    return b"".join(
        b'vllm:num_requests_running{engine="%b"} 1\nvllm:num_requests_waiting{engine="%b"} 0\n' % (n, n) for n in names
    )


def test_as_many_engines_are_read_as_a_server_can_have() -> None:
    assert len(read(engines(MAX_ENGINES)).engines) == 256


@pytest.mark.parametrize(("count", "words"), [(257, "257 engines"), (30_000, "more than 20000 samples")])
def test_a_page_with_more_engines_is_refused(count: int, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        parse_metrics(engines(count))


@pytest.mark.parametrize("name", [b"1" + b"E" * 900_000, b"\x1b[2J", b"a,b", b"1234567", b"-1"])
def test_an_engine_that_is_no_number_is_refused_in_few_words(name: bytes) -> None:
    with pytest.raises(SourceError, match="is no engine of vLLM") as refused:
        parse_metrics(IDLE + b'vllm:num_requests_running{engine="%b"} 1\n' % name)
    assert len(str(refused.value)) < 200
    assert "\x1b" not in str(refused.value)


def test_a_block_count_of_thousands_of_digits_is_no_count() -> None:
    text = b'vllm:kv_cache_usage_perc 0.5\nvllm:cache_config_info{num_gpu_blocks="%b"} 1\n' % (b"9" * 5000)
    assert read(IDLE + text).blocks == {}


@pytest.mark.parametrize("labels", [b'{engine="0"', b'{engine="0} 3', b"{", b'="0"} 3'])
def test_a_line_whose_labels_do_not_end_is_damage(labels: bytes) -> None:
    with pytest.raises(SourceError, match="where a sample should be"):
        parse_metrics(IDLE + b"vllm:num_requests_running" + labels + b"\nvllm:num_requests_waiting 1\n")


@pytest.mark.parametrize(
    ("status", "failed"), [(b"5xx", 3), (b"500", 3), (b"503", 3), (b"2xx", 0), (b"405", 0), (b"50", 0), (b"5000", 0)]
)
def test_answers_with_500_and_more_have_failed_whether_they_are_grouped_or_not(status: bytes, failed: float) -> None:
    line = b'http_requests_total{handler="/v1/completions",method="POST",status="%b"} 3\n' % status
    assert read(IDLE + line).failed == failed


RUST = (  # vllm-project/vllm with VLLM_USE_RUST_FRONTEND=1: OpenMetrics, a counter's TYPE has no _total
    b"# HELP http_requests Total number of HTTP requests.\n# TYPE http_requests counter\n"
    b'http_requests_total{method="POST",status="5xx",handler="/v1/completions"} 2\n'
    b"# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
    b"# TYPE vllm:num_requests_running gauge\n"
    b'vllm:num_requests_running{model_name="m",engine="0"} 3\nvllm:num_requests_running{model_name="m",engine="1"} 1\n'
    b"# HELP vllm:num_requests_waiting Number of requests waiting to be processed.\n"
    b"# TYPE vllm:num_requests_waiting gauge\n"
    b'vllm:num_requests_waiting{model_name="m",engine="0"} 0\nvllm:num_requests_waiting{model_name="m",engine="1"} 5\n'
    b"# TYPE vllm:num_requests_waiting_by_reason gauge\n"
    b'vllm:num_requests_waiting_by_reason{model_name="m",engine="1",reason="capacity"} 5\n'
    b"# HELP vllm:prompt_tokens Number of prefill tokens processed.\n# TYPE vllm:prompt_tokens counter\n"
    b'vllm:prompt_tokens_total{model_name="m",engine="0"} 34567503\n'
    b'vllm:prompt_tokens_total{model_name="m",engine="1"} 7\n'
    b"# TYPE vllm:iteration_tokens_total histogram\n"
    b'vllm:iteration_tokens_total_sum{model_name="m",engine="0"} 9.0\n'
    b'vllm:iteration_tokens_total_count{model_name="m",engine="0"} 4\n'
    b'vllm:iteration_tokens_total_bucket{le="1.0",model_name="m",engine="0"} 4\n'
    b"# EOF\n"
)


def test_reads_the_page_of_the_server_in_rust() -> None:
    """gpustack/gpustack#6215."""
    reading = read(RUST)
    assert reading.values == EngineValues(4, 5, iterations=4, prompt_tokens=34567510)
    assert (reading.engines["1"].waiting, reading.failed, reading.started) == (5, 2, None)
