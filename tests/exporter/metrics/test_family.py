from __future__ import annotations

import pytest

from vllm_exporter.metrics.family import Family, histogram_series

UP = Family("vllm_test_up", "gauge", "Whether it is up.", ("server",))


def test_a_sample_needs_exactly_the_labels_of_its_family() -> None:
    with pytest.raises(ValueError, match=r"vllm_test_up: labels \['host'\] given, \['server'\] declared"):
        UP.sample(1, host="a")


def test_a_sample_is_a_row_with_names() -> None:
    sample = UP.sample(1, server="a")
    assert sample == ((UP, ("a",)), 1)
    assert (sample.family, sample.values, sample.value) == (UP, ("a",), 1)


def test_only_histograms_have_buckets() -> None:
    with pytest.raises(ValueError, match="vllm_test_up is no histogram"):
        histogram_series(UP, ("a",), (1.0,))
