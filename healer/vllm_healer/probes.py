"""The healer's own eyes: /health told apart, a one-token completion, /is_paused, and vLLM's own progress values.

Alerts come by way of an exporter, Prometheus and Alertmanager; before a server is restarted it is looked at directly.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

import requests

from vllm_healer.model import Canary, Health, Look, Target
from vllm_healer.sessions import key_header, server_session
from vllm_healer.vllm_text import parse_asleep, parse_work


@dataclass(frozen=True)
class Timeouts:
    """Timeouts in seconds. A server in trouble makes each of them run out in turn, so a look takes up to their sum."""

    health: float = 5.0  # a saturated server answers /health late, so less would call it deaf
    paused: float = 2.0  # it asks the engine, which takes milliseconds or for ever
    metrics: float = 4.0  # Prometheus' own scrape timeout


class Probes:
    """Implements the port Eyes."""

    def __init__(self, timeouts: Timeouts | None = None) -> None:
        self._timeouts = timeouts or Timeouts()

    def look(self, target: Target, canary: float) -> Look:
        with server_session(target) as session:
            return _Visit(target, session, self._timeouts).look(canary)


@dataclass(frozen=True)
class _Visit:
    """One look at one target."""

    target: Target
    session: requests.Session
    timeouts: Timeouts
    marker: str = field(default_factory=lambda: uuid.uuid4().hex)  # no prefix cache may answer in the engine's place

    def look(self, canary: float) -> Look:
        health = self.health()
        if health is not Health.OK:
            return Look(health, canary=None, paused=None, work=None)
        before = self.metrics()
        paused = True if parse_asleep(before) else self.paused()
        if not canary or paused:
            return Look(health, canary=None, paused=paused, work=parse_work(before))
        answer = self.canary(canary)
        return Look(health, answer, paused, work=parse_work(self.metrics()), work_before=parse_work(before))

    def health(self) -> Health:
        try:
            response = self.session.get(self._url("/health"), timeout=self.timeouts.health, allow_redirects=False)
        except requests.Timeout:
            return Health.TIMEOUT
        except requests.RequestException as error:
            return Health.REFUSED if is_refused(error) else Health.OTHER
        return {200: Health.OK, 503: Health.UNAVAILABLE}.get(response.status_code, Health.OTHER)

    def paused(self) -> bool | None:
        """True if it is paused; None where it does not say: without dev mode, or when its engine does not answer."""
        try:
            answer = self.session.get(self._url("/is_paused"), timeout=self.timeouts.paused).json()
        except (requests.RequestException, ValueError):
            return None
        said = answer.get("is_paused") if isinstance(answer, dict) else None
        return said if isinstance(said, bool) else None

    def metrics(self) -> str:
        """vLLM's page, or '' when it cannot be had."""
        try:
            response = self.session.get(self._url("/metrics"), timeout=self.timeouts.metrics)
        except requests.RequestException:
            return ""
        return response.text if response.status_code == 200 else ""

    def canary(self, seconds: float) -> Canary:
        start, answered = time.monotonic(), True
        try:
            response = self._complete(seconds)
            ok, applicable, detail = judge(response.status_code, _json(response), response.text[:200])
        except requests.Timeout:
            answered = False
            ok, applicable, detail = False, True, f"no answer within {seconds:g} s"
        except ValueError as error:  # not shown: it may hold the key
            ok, applicable = False, False
            detail = f"it could not be asked ({type(error).__name__}); check url and api_key_file of this target"
        except requests.RequestException as error:
            ok, applicable, detail = False, True, f"the connection broke: {type(error).__name__}"
        except OSError as error:
            ok, applicable, detail = False, False, f"api_key_file {self.target.api_key_file}: {error.strerror}"
        return Canary(ok, applicable, time.monotonic() - start, detail, answered)

    def _complete(self, seconds: float) -> requests.Response:
        """The answer to the completion, or to the list of models when that failed; both within one timeout."""
        end = time.monotonic() + seconds
        headers = key_header(self.target)
        models = self.session.get(self._url("/v1/models"), headers=headers, timeout=seconds)
        model = choose_model(_json(models))
        if models.status_code != 200 or not model:
            return models
        body = {"model": model, "prompt": f"canary {self.marker}", "max_tokens": 1, "temperature": 0}
        left = max(0.1, end - time.monotonic())
        return self.session.post(self._url("/v1/completions"), json=body, headers=headers, timeout=left)

    def _url(self, path: str) -> str:
        return self.target.url + path


def judge(status: int, answer: object, text: str) -> tuple[bool, bool, str]:
    """The (ok, applicable, words) of a canary's answer. A refusal of such requests proves nothing of the engine."""
    if status == 200:
        choices = answer.get("choices") if isinstance(answer, dict) else None
        return (True, True, "") if choices else (False, True, f"answered 200 without a completion: {text!r}")
    if status in (401, 403):
        return False, False, f"HTTP {status}: it wants another key; check api_key_file of this target"
    if 400 <= status < 500 and status != 429:
        return False, False, f"HTTP {status}: it does not complete text, as pooling models do not: {text!r}"
    return False, True, f"HTTP {status}: {text!r}"


def choose_model(answer: object) -> str:
    """The first model of /v1/models, or ''."""
    models = answer.get("data") if isinstance(answer, dict) else None
    first = models[0] if isinstance(models, list) and models else None
    return str(first.get("id", "")) if isinstance(first, dict) else ""


def is_refused(error: BaseException | None) -> bool:
    """True if nobody listens. requests wraps that three times, together with names that do not resolve."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _json(response: requests.Response) -> object:
    try:
        answer: object = response.json()
    except ValueError:
        return None
    return answer
