"""Which alerts fire on a made-up day: promtool's own engine evaluates the rules every 15 s.

So recorded series that read themselves, and pages that read other alerts, mean what they mean in Prometheus. Left out
is what changes nothing: rules that no alert reads, and words.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.alerts.days.course import SCRAPE, Line
from tests.alerts.toolchain import PROMETHEUS

# What Alertmanager holds back (alertmanager/alertmanager.yml) is told to nobody: what an engine says while its server
# starts, drains, is paused or sleeps; what a server says that is down; servers and exporters of a host that is gone.
MUTED = {
    'component=~"engine|traffic|slo", healable!="true", notify!="people"': ("server", 'alertname="VllmSetAside"'),
    'alertname!="VllmDown", healable!="true", notify!="people", server!=""': ("server", 'alertname="VllmDown"'),
    'alertname!="HostUnreachable", host!=""': ("host", 'alertname="HostUnreachable"'),
}
SEVERITIES = ("critical", "warning", "info")
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
GOT = re.compile(r'\{alertname="(\w+)", of="(\w+)"\} ([\d.E+]+)')
# Half of the CPU time of short runs is the collector's, and two runs share two cores.
ENVIRONMENT = {"GOGC": "400", "GOMAXPROCS": "1"}


@dataclass(frozen=True)
class Told:
    """Minutes for which people would have had an alert before them, by its name."""

    pages: dict[str, float]
    warnings: dict[str, float]
    notices: dict[str, float]


def evaluate(promtool: str, seed: str, series: Iterable[Line], scrapes: int) -> Told:
    """Of series of so many scrapes. Prometheus evaluates groups side by side: the seed chooses one of their orders.

    Raises RuntimeError with promtool's words.
    """
    span = f"{scrapes * SCRAPE}s"
    asked = [
        {
            "expr": f"label_replace(sum by (alertname) (count_over_time(({told(severity)})[{span}:{SCRAPE}s])),"
            f' "of", "{severity}", "", "")',
            "eval_time": span,
        }
        for severity in SEVERITIES
    ]
    interval = f"{SCRAPE}s"
    test = {"interval": interval, "input_series": list(series), "promql_expr_test": asked}
    with tempfile.TemporaryDirectory(prefix="vllm-days-") as folder:
        rules, file = Path(folder, "rules.yml"), Path(folder, "day.yml")
        groups = needed_groups()
        rules.write_text(json.dumps({"groups": groups}))
        order = random.Random(seed).sample([group["name"] for group in groups], len(groups))
        whole = {"rule_files": [str(rules)], "evaluation_interval": interval, "group_eval_order": order}
        file.write_text(json.dumps(whole | {"tests": [test]}))
        command = [promtool, "test", "rules", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ENVIRONMENT)
    said = done.stdout + done.stderr
    if done.returncode and "got:" not in said:
        raise RuntimeError(f"promtool: {said[:2000]}")
    return Told(*(minutes(severity, said) for severity in SEVERITIES))


def told(severity: str) -> str:
    """The firing alerts of a severity that reach people. What the healer acts on reaches them by a page only."""
    fires = f'alertstate="firing", severity="{severity}"'
    shown = f"ALERTS{{{fires}}}" if severity != "critical" else f'ALERTS{{{fires}, healable!="true"}}'
    for target, (equal, source) in MUTED.items():
        muted = f'ALERTS{{{fires}, {target}}} and on ({equal}) ALERTS{{alertstate="firing", {source}}}'
        shown = f"({shown} unless ({muted}))"
    return shown


def minutes(severity: str, said: str) -> dict[str, float]:
    """Nothing is expected, so promtool lists what it got: name and number of evaluations."""
    return {name: float(count) * SCRAPE / 60 for name, of, count in GOT.findall(said) if of == severity}


def needed_groups() -> list[dict[str, Any]]:
    """The alerts, without words, and the recorded series that they read, or that these read."""
    files = [file for folder in ("rules", "alerts") for file in sorted((PROMETHEUS / folder).glob("*.yml"))]
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    needed: set[str] = set()
    unread = [rule["expr"] for rule in rules if "alert" in rule]
    while unread:
        found = set(NAME.findall(unread.pop())) - needed
        needed |= found
        unread += [rule["expr"] for rule in rules if rule.get("record") in found]
    return [
        {
            "name": group["name"],
            "interval": f"{SCRAPE}s",
            "rules": [
                {key: value for key, value in rule.items() if key != "annotations"}
                for rule in group["rules"]
                if "alert" in rule or rule["record"] in needed
            ],
        }
        for group in groups
        if any("alert" in rule or rule["record"] in needed for rule in group["rules"])
    ]
