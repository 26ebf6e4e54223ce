"""The choices at the top of every board: data source, model, servers."""

from __future__ import annotations

from grafana.builder.panel import DATASOURCE, Json

PROMETHEUS_UID = "vllm-monitor-prometheus"  # also in provisioning/datasources/

MODELS = "label_values(server_model:vllm_known:group, model_name)"
# Also the servers that are silent: the first name remembers what they served; those of the second never said it.
SERVERS = (
    'label_values({__name__=~"server_model:vllm_known:group|server:vllm_known:group", model_name=~"$model_name"},'
    " server)"
)


def variables() -> list[Json]:
    """In the order in which they depend on each other."""
    return [
        datasource(),
        query("model_name", "Model", "Narrows the servers to those that serve it.", MODELS, every=".*"),
        query("server", "Server", "vLLM servers, as they stand in VLLM_TARGETS.", SERVERS),
    ]


def datasource() -> Json:
    """Ours where it exists, else the first Prometheus that there is."""
    return {
        "name": "datasource",
        "label": "Data source",
        "description": "A Prometheus with the rules of vllm-monitor.",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": PROMETHEUS_UID},
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
