"""A healthy server that looks hung: no output for 80 s, canaries unanswered, yet its steps move the KV cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness import scenarios
from tests.e2e.harness.stack import Stack
from tests.e2e.harness.timeline import Timeline
from tests.e2e.harness.vllm_server import slow_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_leaves_a_slow_server_alone_and_says_why(stack: Stack, script: Path, timelines: list[Timeline]) -> None:
    stack.ensure(slow_server(script, stack.port), autorestart=True)
    quiet = scenarios.slow_prefill(stack)
    timelines.append(quiet.episode.timeline)
    assert quiet.seconds_without_output >= 80
    assert quiet.canary_failures >= 2
    assert quiet.answered
    assert quiet.episode.health_before == {200}
    assert "VllmEngineStalled" not in quiet.episode.timeline.alerts
    assert quiet.episode.actions == ()
    assert quiet.episode.spawns == 0
    said = [sentence.words for sentence in stack.journal.sentences(quiet.episode.timeline.fault)]
    assert any("no output" in words and "changed" in words for words in said), said
