"""The environment of the parts: a short list of the shell's variables, since others may be tokens."""

from __future__ import annotations

from collections.abc import Mapping

_INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR"),
    "LD_LIBRARY_PATH",  # a GPU driver's library may lie there
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),  # to people's channels
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("GOGC", "GOMAXPROCS", "GOMEMLIMIT"),  # bounds of Prometheus and Alertmanager
    *("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"),
)


def choose_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns what all parts inherit. Settings reach each part by name, not by what the shell happens to hold."""
    return {name: value for name, value in environ.items() if name in _INHERITED or name.startswith("LC_")}
