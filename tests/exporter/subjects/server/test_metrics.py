"""The reader of vLLM's /metrics: excerpts of two real answers, every release's names, and damaged texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import EngineValues
from vllm_exporter.subjects.server.engine import Blocks, EngineReading
from vllm_exporter.subjects.server.metrics import NAMES, engine_of, parse_block_count, parse_engine, parse_metrics

# Answers of real servers and the families of each release: data that is kept outside the repository.
DATA = Path(__file__).parents[5] / "shared" / "data" / "vllm"
CAPTURES = DATA / "captures"
RELEASES = DATA / "metrics_by_release.json"


def release_table() -> dict[str, dict[str, list[dict[str, object]]]]:
    table: dict[str, dict[str, list[dict[str, object]]]] = json.loads(RELEASES.read_text())["versions"]
    return table


def releases() -> list[tuple[str, str]]:
    """(release, engine) from 0.6 on; in V1 before 0.7.1 there were no metrics."""
    if not RELEASES.exists():
        return []
    found = [(release, str(engine)) for release, entry in release_table().items() for engine in entry["engine"]]
    return [(r, e) for r, e in found if tuple(map(int, r.split(".")[:2])) >= (0, 6) and (r, e) != ("0.7.0", "V1")]


def text_of(release: str, engine: str) -> bytes:
    """What such a server shows: every family that is not hidden, with the value 3; histograms with their count."""
    lines = []
    for metric in release_table()[release]["metrics"]:
        if metric["engine"] != engine or metric.get("hidden"):
            continue
        name = f"{metric['name']}_count" if metric["type"] == "histogram" else metric["name"]
        lines += [f"# TYPE {metric['name']} {metric['type']}", f'{name}{{model_name="m",sleep_state="awake"}} 3.0']
    return "\n".join([*lines, ""]).encode()


def parse_if_whole(text: bytes) -> EngineValues | None:
    try:
        return parse_engine(text)
    except SourceError:
        return None


def test_reads_a_server_under_load(fixtures: Path) -> None:
    assert parse_engine((fixtures / "vllm_under_load.prom").read_bytes()) == EngineValues(
        running=47,
        waiting=0,
        swapped=None,
        kv_usage=0.019655719692345253,
        iterations=27676,
        preemptions=0,
        prefix_queries=162246,
        prompt_tokens=162246,
        generation_tokens=497930,
        awake=True,
    )


def test_adds_up_engines_whose_samples_are_interleaved(fixtures: Path) -> None:
    values = parse_engine((fixtures / "vllm_two_engines.prom").read_bytes())
    assert values is not None
    assert (values.iterations, values.prompt_tokens, values.generation_tokens) == (12008, 240, 60000)
    assert (values.running, values.kv_usage, values.awake) == (0, 0, True)


def test_takes_the_fullest_engine_for_the_kv_cache() -> None:
    text = (
        b'vllm:num_requests_running{engine="0"} 1\nvllm:num_requests_waiting{engine="0"} 0\n'
        b'vllm:kv_cache_usage_perc{engine="0"} 0.25\nvllm:kv_cache_usage_perc{engine="1"} 0.75\n'
    )
    values = parse_engine(text)
    assert values is not None
    assert values.kv_usage == 0.75


def test_one_sleeping_engine_makes_the_server_sleep() -> None:
    text = (
        b"vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"
        b'vllm:engine_sleep_state{engine="0",sleep_state="awake"} 1.0\n'
        b'vllm:engine_sleep_state{engine="1",sleep_state="awake"} 0.0\n'
        b'vllm:engine_sleep_state{engine="1",sleep_state="discard_all"} 1.0\n'
    )
    values = parse_engine(text)
    assert values is not None
    assert values.awake is False


def test_label_values_may_hold_braces_blanks_and_quotes() -> None:
    text = (
        b'vllm:num_requests_running{model_name="a} 7 \\"{b"} 2.0\nvllm:num_requests_waiting{model_name="x y"} 1 1700\n'
    )
    assert parse_engine(text) == EngineValues(running=2, waiting=1)


def test_a_longer_name_is_another_family() -> None:
    text = b'vllm:num_requests_waiting_by_reason{reason="capacity"} 9\nvllm:num_requests_running 1\n'
    with pytest.raises(SourceError, match="not vllm:num_requests_waiting"):
        parse_engine(text)


def test_without_vllm_families_there_are_no_values() -> None:
    assert parse_engine(b'# TYPE http_requests_total counter\nhttp_requests_total{status="2xx"} 3\n') is None
    assert parse_engine(b"<html>404</html>") is None
    assert parse_engine(b"") is None


@pytest.mark.parametrize("value", [b"1_000", b"4O", b"", b"1 2 3", b'"1"'])
def test_a_value_that_is_no_number_is_an_error_that_names_the_family(value: bytes) -> None:
    text = b"vllm:num_requests_running{} " + value + b"\nvllm:num_requests_waiting{} 0\n"
    with pytest.raises(SourceError, match="vllm:num_requests_running"):
        parse_engine(text)


@pytest.mark.parametrize("fixture", ["vllm_under_load.prom", "vllm_two_engines.prom"])
def test_a_cut_text_never_gives_a_wrong_number(fixtures: Path, fixture: str) -> None:
    text = (fixtures / fixture).read_bytes()
    whole = parse_engine(text)
    for end in range(len(text) - 1):
        if text[end - 1 : end] == b"\n":
            continue  # cut between two lines: only Content-Length can tell
        values = parse_if_whole(text[:end])
        if values is not None:
            assert all(getattr(values, name) in (None, getattr(whole, name)) for name in vars(values)), end


@pytest.mark.skipif(not CAPTURES.exists(), reason="the captures of real servers are not on this machine")
@pytest.mark.parametrize("capture", sorted(CAPTURES.glob("*.prom")), ids=lambda path: path.stem)
def test_reads_every_capture_of_a_real_server(capture: Path) -> None:
    values = parse_engine(capture.read_bytes())
    if "disable-log-stats" in capture.name:
        assert values is None
        return
    assert values is not None
    assert values.awake is True
    assert values.swapped is None
    assert None not in (values.kv_usage, values.iterations, values.preemptions, values.prefix_queries)


@pytest.mark.skipif(not RELEASES.exists(), reason="the table of releases is not on this machine")
@pytest.mark.parametrize(("release", "engine"), releases() or [("none", "V1")])
def test_finds_each_concept_in_every_release(release: str, engine: str) -> None:
    values = parse_engine(text_of(release, engine))
    assert values is not None
    version = tuple(int(part) for part in release.split(".")[:3])
    assert (values.running, values.waiting, values.kv_usage) == (3, 3, 3)
    assert (values.prompt_tokens, values.generation_tokens) == (3, 3)
    has_steps = version >= ((0, 6, 4) if engine == "V0" else (0, 7, 3))
    assert (values.iterations is not None) == has_steps
    assert (values.preemptions is not None) == (engine == "V0" or version >= (0, 8, 0))
    assert (values.prefix_queries is not None) == (engine == "V1" and version >= (0, 7, 3))
    assert (values.swapped is not None) == (engine == "V0" and version < (0, 8, 3))
    assert (values.awake is not None) == (version >= (0, 11, 1))


def test_every_value_has_a_name() -> None:
    assert set(NAMES) | {"awake"} == set(EngineValues.__dataclass_fields__)


def read(text: bytes) -> EngineReading:
    reading = parse_metrics(text)
    assert reading is not None
    return reading


TWO = (
    b'# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine="0",model_name="m"} 1\n'
    b'vllm:num_requests_running{engine="1",model_name="m"} 5\n# TYPE vllm:num_requests_waiting gauge\n'
    b'vllm:num_requests_waiting{engine="0",model_name="m"} 0\nvllm:num_requests_waiting{engine="1",model_name="m"} 2\n'
    b"# TYPE vllm:kv_cache_usage_perc gauge\n"
    b'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.1\n'
    b'vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.9\n'
    b'# TYPE vllm:cache_config_info gauge\nvllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="202"} 1\n'
    b'vllm:cache_config_info{block_size="16",engine="1",num_gpu_blocks="202"} 1\n'
)


def test_tells_the_engines_apart() -> None:
    """With data parallelism each engine says how many blocks all have together, as measured with 0.32.0."""
    reading = read(TWO)
    assert reading.engines["0"] == EngineValues(1, 0, kv_usage=0.1)
    assert reading.engines["1"] == EngineValues(5, 2, kv_usage=0.9)
    assert reading.blocks == {"0": Blocks(101, 10, 90), "1": Blocks(101, 90, 10)}


def test_an_engine_without_a_name_is_0_and_uses_all_its_blocks() -> None:
    text = (
        b'vllm:num_requests_running{model_name="m"} 1\nvllm:num_requests_waiting{model_name="m"} 0\n'
        b'vllm:gpu_cache_usage_perc{model_name="m"} 0.5\nvllm:cache_config_info{num_gpu_blocks="100"} 1\n'
    )
    reading = read(text)
    assert (list(reading.engines), reading.blocks) == (["0"], {"0": Blocks(100, 50, 50)})


@pytest.mark.parametrize("label", [b'num_gpu_blocks="None"', b'block_size="16"', b'num_gpu_blocks="-1"', b""])
def test_a_size_that_is_not_told_makes_no_block_table(label: bytes) -> None:
    assert parse_block_count(label) == 0
    reading = read(TWO.replace(b'num_gpu_blocks="202"', label or b'x=""'))
    assert reading.blocks == {}


@pytest.mark.parametrize(
    ("labels", "engine"),
    [
        (b'engine="0",model_name="m"', "0"),
        (b'block_size="16",engine="12"', "12"),
        (b'model_name="m"', ""),
        (b'search_engine="9"', ""),
        (b"", ""),
    ],
)
def test_finds_the_engine_among_the_labels(labels: bytes, engine: str) -> None:
    assert engine_of(labels) == engine


REQUESTS = (
    b"# TYPE http_requests_total counter\n"
    b'http_requests_total{handler="/v1/completions",method="POST",status="2xx"} 90\n'
    b'http_requests_total{handler="/v1/completions",method="POST",status="5xx"} 3\n'
    b'http_requests_total{handler="/v1/chat/completions",method="POST",status="5xx"} 2\n'
    b'http_requests_total{handler="none",method="GET",status="4xx"} 7\n'
    b"# TYPE http_requests_created gauge\n"
)


@pytest.mark.parametrize("text", [TWO + REQUESTS, REQUESTS + TWO])
def test_counts_requests_that_the_server_failed_to_answer(text: bytes) -> None:
    for wanted, now in ((5, text), (6, text.replace(b"} 3", b"} 4")), (0, text.replace(b"5xx", b"2xx"))):
        assert read(now).failed == wanted


def test_a_release_that_counts_no_requests_has_no_failed_ones() -> None:
    assert read(TWO).failed is None


def test_families_that_are_not_there_yet_are_an_error_that_names_one() -> None:
    """Seen with two API servers: the gauges come with the first request, long after the first reading."""
    first = b"# TYPE vllm:prompt_tokens_total counter\nvllm:prompt_tokens_total 0\n"
    with pytest.raises(SourceError, match="not vllm:num_requests_running"):
        parse_metrics(first)
    values = read(first + TWO).values
    assert (values.running, values.prompt_tokens) == (6, 0)


def test_says_when_the_process_began(fixtures: Path) -> None:
    text = (fixtures / "vllm_under_load.prom").read_bytes()
    assert read(text).started == 1795208792.22


@pytest.mark.parametrize("value", [b"", b"NaN", b"+Inf", b"-1", b"0", b"soon"])
def test_a_start_that_is_no_time_is_not_known(value: bytes) -> None:
    text = b"process_start_time_seconds " + value + b"\nvllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"
    assert read(text).started is None
