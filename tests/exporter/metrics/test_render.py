from __future__ import annotations

import math
import shutil
import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from tests.exporter.families import every_family
from vllm_exporter.metrics.family import Family, Sample, Series, histogram_series
from vllm_exporter.metrics.gzip import join
from vllm_exporter.metrics.render import Format, number, render_block
from vllm_exporter.metrics.render import render as render_page
from vllm_exporter.metrics.series import Layout, SeriesCache

UP = Family("vllm_test_up", "gauge", "Whether it is up.", ("server",))
STEPS = Family("vllm_test_steps_total", "counter", "Steps.")

FAMILIES = every_family()


def render(*samples: Sample, text_format: Format = "text") -> str:
    return join(render_page([SeriesCache(sample.family for sample in samples).block(samples)], text_format)).decode()


def test_renders_help_and_type_once_and_keeps_a_family_together() -> None:
    text = render(UP.sample(1, server="a"), STEPS.sample(12.5), UP.sample(0, server="b"))
    assert text == (
        "# HELP vllm_test_steps_total Steps.\n"
        "# TYPE vllm_test_steps_total counter\n"
        "vllm_test_steps_total 12.5\n"
        "# HELP vllm_test_up Whether it is up.\n"
        "# TYPE vllm_test_up gauge\n"
        'vllm_test_up{server="a"} 1\n'
        'vllm_test_up{server="b"} 0\n'
    )


def test_nothing_renders_as_nothing() -> None:
    assert render() == ""


def test_escapes_label_values_and_help() -> None:
    family = Family("vllm_test_x", "gauge", "back\\slash\nline", ("path",))
    text = render(family.sample(1, path='C:\\a\n"b"'))
    assert "# HELP vllm_test_x back\\\\slash\\nline\n" in text
    assert 'vllm_test_x{path="C:\\\\a\\n\\"b\\""} 1\n' in text
    (parsed,) = text_string_to_metric_families(text)
    assert parsed.samples[0].labels == {"path": 'C:\\a\n"b"'}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (3, "3"),
        (-1.0, "-1.0"),
        (1234567890123.0, "1234567890123.0"),
        (0.1, "0.1"),
        (1e20, "1e+20"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_renders_numbers_as_the_format_spells_them(value: float, text: str) -> None:
    assert number(value) == text


def test_of_two_samples_of_one_series_the_first_counts() -> None:
    assert render(UP.sample(1, server="a"), UP.sample(0, server="a")).count('server="a"') == 1


def test_a_value_that_is_not_unicode_does_not_spoil_the_page() -> None:
    assert 'vllm_test_up{server="?"} 1' in render(UP.sample(1, server="\udcff"))


def test_nan_and_infinity_are_spelled_as_the_format_wants_them() -> None:
    text = render(UP.sample(math.nan, server="a"), UP.sample(math.inf, server="b"), UP.sample(2, server="c"))
    assert [line.split()[-1] for line in text.splitlines()[2:]] == ["NaN", "+Inf", "2"]


def test_a_percent_sign_in_a_label_or_a_help_is_printed_as_it_is() -> None:
    family = Family("vllm_test_x", "gauge", "100 % of %s", ("path",))
    assert render(family.sample(1, path="%d%%")).splitlines() == [
        "# HELP vllm_test_x 100 % of %s",
        "# TYPE vllm_test_x gauge",
        'vllm_test_x{path="%d%%"} 1',
    ]


def test_a_block_groups_its_numbers_by_family_whatever_their_order() -> None:
    layout = Layout([(UP, ("a",)), (STEPS, ()), (UP, ("b",))])
    lines = join(render_page([layout.block([1, 12.5, 0])])).decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "vllm_test_steps_total 12.5",
        'vllm_test_up{server="a"} 1',
        'vllm_test_up{server="b"} 0',
    ]


def test_yes_and_no_are_printed_as_numbers() -> None:
    lines = join(render_page([Layout([(UP, ("a",)), (UP, ("b",))]).block([True, False])])).decode().splitlines()
    assert lines[2:] == ['vllm_test_up{server="a"} 1', 'vllm_test_up{server="b"} 0']


def test_a_block_that_was_printed_is_not_printed_again() -> None:
    block = Layout([(UP, ("a",))]).block([1])
    assert render_block(block, "text") is render_block(block, "text")


def test_openmetrics_names_counters_without_total_and_ends_with_eof() -> None:
    assert render(STEPS.sample(3), text_format="openmetrics") == (
        "# HELP vllm_test_steps Steps.\n# TYPE vllm_test_steps counter\nvllm_test_steps_total 3\n# EOF\n"
    )


def test_every_family_is_read_by_prometheus_clients_openmetrics_parser() -> None:
    parsed = list(openmetrics_families(everything("openmetrics")))  # type: ignore[no-untyped-call] # it has no types
    assert len(parsed) == len(FAMILIES)


@pytest.mark.parametrize("text_format", ["text", "openmetrics"])
def test_a_histogram_stands_together_with_its_buckets_in_order(text_format: Format) -> None:
    seconds = Family("vllm_test_seconds", "histogram", "Seconds.", ("server",))
    other = Family("vllm_test_seconds_before_total", "counter", "Sorts between its parts.")
    series = [(other, ()), *histogram_series(seconds, ("b",), (0.5, 10)), *histogram_series(seconds, ("a",), ())]
    numbers = [7, 1, 2, 3, 4.5, 3, 0, 0, 0]
    assert join(render_page([Layout(series).block(numbers)], text_format)).decode().splitlines()[:10] == [
        "# HELP vllm_test_seconds Seconds.",
        "# TYPE vllm_test_seconds histogram",
        'vllm_test_seconds_bucket{server="b",le="0.5"} 1',
        'vllm_test_seconds_bucket{server="b",le="10.0"} 2',
        'vllm_test_seconds_bucket{server="b",le="+Inf"} 3',
        'vllm_test_seconds_sum{server="b"} 4.5',
        'vllm_test_seconds_count{server="b"} 3',
        'vllm_test_seconds_bucket{server="a",le="+Inf"} 0',
        'vllm_test_seconds_sum{server="a"} 0',
        'vllm_test_seconds_count{server="a"} 0',
    ]


def everything(text_format: Format = "text") -> str:
    """A sample of every family there is."""
    layout = Layout([series for one in FAMILIES for series in some(one)])
    return join(render_page([layout.block([1] * len(layout.series))], text_format)).decode()


def some(family: Family) -> list[Series]:
    values = tuple(f'"{label}"\\' for label in family.labels)
    return histogram_series(family, values, (0.5,)) if family.kind == "histogram" else [(family, values)]


def test_every_family_is_read_by_prometheus_clients_parser() -> None:
    parsed = {one.name: one for one in text_string_to_metric_families(everything())}
    assert len(parsed) == len(FAMILIES) > 40
    assert parsed["vllm_host_load"].samples[0].labels == {"window": '"window"\\'}


def test_every_family_passes_promtool() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed; apt install prometheus brings it")
    result = subprocess.run(["promtool", "check", "metrics"], input=everything(), capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_no_family_is_declared_twice() -> None:
    assert len({one.name for one in FAMILIES}) == len(FAMILIES)
