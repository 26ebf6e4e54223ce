from __future__ import annotations

import pytest

from vllm_exporter.run.schedule import LEAD, LONGEST, ScrapeTimes, next_due, next_for_scrape


def scraped(*times: float) -> ScrapeTimes:
    scrapes = ScrapeTimes()
    for at in times:
        scrapes.saw(at)
    return scrapes


@pytest.mark.parametrize(
    ("now", "expected"),
    [(100.0, 101.0), (100.4, 101.0), (101.0, 102.0), (103.7, 104.0)],
)
def test_runs_stay_on_their_grid_and_skip_missed_turns(now: float, expected: float) -> None:
    assert next_due(100.0, now, 1.0) == expected


def test_with_a_scrape_every_five_seconds_a_reading_is_just_before_the_next() -> None:
    scrapes = scraped(100.0, 105.0)
    assert next_for_scrape(105.1, 105.2, 1.0, scrapes) == 110.0 - LEAD
    assert next_for_scrape(110.0 - LEAD, 109.6, 1.0, scrapes) == 115.0 - LEAD


def test_with_a_scrape_every_second_each_has_its_own_reading() -> None:
    scrapes, due, found = scraped(100.0, 101.0), 101.0, []
    for _ in range(4):
        due = next_for_scrape(due, due + 0.1, 1.0, scrapes)
        found.append(due)
    assert found == [102.5, 103.5, 104.5, 105.5]


def test_a_scrape_that_comes_a_little_early_has_its_own_reading_too() -> None:
    assert next_for_scrape(103.5, 103.6, 1.0, scraped(102.98, 103.98)) == pytest.approx(104.48)


def test_no_reading_is_much_sooner_than_an_interval_after_the_last() -> None:
    assert next_for_scrape(109.0, 109.1, 5.0, scraped(100.0, 101.0)) == 113.5


@pytest.mark.parametrize("times", [(), (100.0,), (100.0, 100.0 + LONGEST + 1)])
def test_while_no_scrape_is_expected_it_runs_every_interval(times: tuple[float, ...]) -> None:
    assert next_for_scrape(120.0, 120.1, 1.0, scraped(*times)) == 121.0


def test_a_scraper_that_stopped_is_waited_for_in_its_own_rhythm() -> None:
    assert next_for_scrape(1000.0, 1000.1, 1.0, scraped(100.0, 105.0)) == 1005.0 - LEAD


def test_after_two_scrapers_at_once_the_time_between_them_counts() -> None:
    assert next_for_scrape(102.1, 102.2, 1.0, scraped(97.0, 100.0, 102.0)) == 104.0 - LEAD
