"""The choices at the top of a board: data source, model and servers on each, more where a board needs them."""

from __future__ import annotations

from grafana.builder.panel import DATASOURCE, Json

PROMETHEUS_UID = "vllm-monitor-prometheus"  # also in provisioning/datasources/
LOKI_UID = "vllm-monitor-loki"

# A dead server keeps the model that it had, so that a chosen model does not hide it.
KNOWN = "server_model:vllm_known:group"
MODELS = f"label_values({KNOWN}, model_name)"
# With all models chosen, also the servers of which no model was ever heard: those of the second name have none.
SERVERS = f'label_values({{__name__=~"{KNOWN}|server:vllm_known:group", model_name=~"$model_name"}}, server)'


def common() -> list[Json]:
    """In the order in which they depend on each other."""
    return [
        datasource(
            "datasource", "Data source", "A Prometheus with the rules of vllm-monitor.", "prometheus", PROMETHEUS_UID
        ),
        query("model_name", "Model", "Narrows the servers to those that serve it.", MODELS, every=".*"),
        query("server", "Server", "vLLM servers, as they stand in VLLM_TARGETS.", SERVERS),
    ]


def loki() -> Json:
    return datasource("loki", "Loki", "Where the exporter sends its event lines.", "loki", LOKI_UID)


def datasource(name: str, label: str, description: str, kind: str, uid: str) -> Json:
    """Ours where it exists, else the first of its kind that there is."""
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "datasource",
        "query": kind,
        "current": {"text": kind.capitalize(), "value": uid},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
    }


def query(name: str, label: str, description: str, expr: str, every: str | None = None) -> Json:
    """Several may be chosen. `every` is the expression for All; without one, All is the list of choices."""
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": expr,
        "query": {"query": expr, "refId": name},
        "current": {"text": ["All"], "value": ["$__all"]},
        "hide": 0,
        "includeAll": True,
        "allValue": every,
        "multi": True,
        "options": [],
        "refresh": 2,  # with the time: a new server is there without loading the board anew
        "regex": "",
        "sort": 1,
    }


def choice(name: str, label: str, description: str, options: dict[str, str], chosen: str) -> Json:
    """One of a few values that no series lists. `options`: words -> value."""
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "custom",
        "query": ",".join(f"{words} : {value}" for words, value in options.items()),
        "current": {"text": chosen, "value": options[chosen]},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [{"text": words, "value": value, "selected": words == chosen} for words, value in options.items()],
    }
