"""What Prometheus, Alertmanager and the healer answer."""

from __future__ import annotations

import json

from deploy.demo.reading import choose_entries, parse_alerts, parse_entries, parse_samples
from deploy.demo.seen import Alert, JournalEntry


def test_reads_the_values_of_a_server_and_its_last_probe() -> None:
    result = [
        {"metric": {"__name__": "vllm_server_stalled", "server": "vm:19802"}, "value": [1000.0, "1"]},
        {"metric": {"__name__": "vllm_probe_health", "result": "ok"}, "value": [1000.0, "0"]},
        {"metric": {"__name__": "vllm_probe_health", "result": "refused"}, "value": [1000.0, "1"]},
    ]
    answer = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})
    assert parse_samples(answer) == ({"vllm_server_stalled": 1.0}, "refused")


def test_reads_alerts_with_the_moment_at_which_they_fired() -> None:
    answer = [
        {"labels": {"alertname": "VllmDown"}, "startsAt": "1970-01-01T00:16:50.5Z"},
        {"labels": {"alertname": "VllmEngineStalled"}, "startsAt": "1970-01-01T00:16:40.123456789Z"},
    ]
    assert parse_alerts(json.dumps(answer)) == (Alert("VllmEngineStalled", 1000.123456), Alert("VllmDown", 1010.5))


def test_reads_the_journal_with_the_state_that_a_sentence_brought() -> None:
    one = {
        "id": 4,
        "time": 1001.5,
        "incident": 2,
        "kind": "incident",
        "words": "it is healed",
        "data": {"state": "healed"},
    }
    assert parse_entries(json.dumps([one])) == (JournalEntry(4, 1001.5, 2, "incident", "it is healed", "healed"),)


def test_takes_the_incidents_of_one_server() -> None:
    ours = (
        JournalEntry(1, 1000.0, 1, "incident", "VllmDown fires for vm:19802", "open"),
        JournalEntry(3, 1002.0, 1, "diagnosis", "engine_dead: /health is refused"),
    )
    other = JournalEntry(2, 1001.0, 2, "incident", "VllmDown fires for vm:19803", "open")
    heard = JournalEntry(0, 999.0, None, "alert", "VllmDown on vm:19802 fires")
    assert choose_entries((heard, ours[0], other, ours[1]), "vm:19802") == ours
