from __future__ import annotations

import pytest

from vllm_exporter.errors import SourceError
from vllm_exporter.metrics.family import Family, Layout
from vllm_exporter.metrics.series import Arranger

UP = Family("vllm_test_up", "gauge", "Whether it is up.", ("server",))
STEPS = Family("vllm_test_steps_total", "counter", "Steps.")


def test_keeps_the_layout_while_the_series_stay_the_same() -> None:
    arranger = Arranger([UP])
    (first,) = arranger.arrange([UP.sample(1, server="a")])
    (second,) = arranger.arrange([UP.sample(0, server="a")])
    (third,) = arranger.arrange([UP.sample(0, server="b")])
    assert first.layout is second.layout
    assert third.layout is not first.layout
    assert [sample.value for sample in (*first.samples(), *second.samples())] == [1, 0]


def test_of_two_samples_of_one_series_the_first_counts() -> None:
    (block,) = Arranger([UP]).arrange([UP.sample(1, server="a"), UP.sample(0, server="a"), UP.sample(3, server="b")])
    assert [sample.value for sample in block.samples()] == [1, 3]


def test_blocks_and_samples_may_stand_beside_each_other() -> None:
    block = Layout([(STEPS, ())]).block([5])
    assert len(Arranger([UP, STEPS]).arrange([UP.sample(1, server="a"), block])) == 2


def test_a_family_in_two_blocks_is_refused() -> None:
    arranger = Arranger([STEPS])
    with pytest.raises(
        SourceError, match="yields vllm_test_steps_total in two blocks; its samples must stand together"
    ):
        arranger.arrange([Layout([(STEPS, ())]).block([5]), STEPS.sample(1)])


def test_a_block_of_a_family_that_is_not_declared_is_refused_each_time() -> None:
    arranger, block = Arranger([UP]), Layout([(STEPS, ())]).block([5])
    for _ in range(2):
        with pytest.raises(SourceError, match="yields vllm_test_steps_total, which its `metrics` do not declare"):
            arranger.arrange([block])


def test_nothing_is_no_block() -> None:
    assert Arranger([UP]).arrange([]) == ()
