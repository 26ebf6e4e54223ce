"""The healer's own eyes: /health told apart, a one-token completion, /is_paused, and vLLM's own progress values.

Alerts come by way of an exporter, Prometheus and Alertmanager; before a server is restarted it is looked at directly.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

from vllm_healer.errors import Blind
from vllm_healer.model import Canary, Health, Look, Target
from vllm_healer.net.client import Headers, HttpAnswer, NoRoute, Refused, RequestFailed, TimedOut, Unsendable
from vllm_healer.net.server import MAX_PAGE, ask, closes_unasked, key_header
from vllm_healer.printable import quoted
from vllm_healer.vllm_text import has_own_form, is_page, is_scaling, is_version, parse_asleep, parse_work

# What is answered by others for a server that is not there: Traefik forgets the way to a container that ends or is not
# healthy (404), Cloudflare has numbers of its own (520 to 530). vLLM has /health in every release.
NOBODY_BEHIND = frozenset({404, 502, 504, *range(520, 531)})


@dataclass(frozen=True)
class Timeouts:
    """Seconds for each whole request. A server in trouble makes each of them run out in turn, so a look takes up to
    their sum, with `metrics` twice, and no longer."""

    health: float = 5.0  # a saturated server answers /health late, so less would call it deaf
    paused: float = 2.0  # it asks the engine, which takes milliseconds or for ever
    metrics: float = 4.0  # Prometheus' own scrape timeout
    unasked: float = 1.0  # a forwarder with nobody behind it closes in milliseconds


class Probes:
    """Implements the port Eyes."""

    def __init__(self, timeouts: Timeouts | None = None) -> None:
        self._timeouts = timeouts or Timeouts()

    def look(self, target: Target, canary: float) -> Look:
        return _Visit(target, self._timeouts).look(canary)


@dataclass(frozen=True)
class _Visit:
    """One look at one target."""

    target: Target
    timeouts: Timeouts
    marker: str = field(default_factory=lambda: uuid.uuid4().hex)  # no prefix cache may answer in the engine's place

    def look(self, canary: float) -> Look:
        health, detail = self.health()
        if health is not Health.OK:
            return Look(health, canary=None, paused=None, work=None, detail=detail)
        before = self.metrics()
        paused = True if parse_asleep(before) else self.paused()
        if not canary or paused:
            return Look(health, canary=None, paused=paused, work=parse_work(before))
        answer = self.canary(canary)
        return Look(health, answer, paused, work=parse_work(self.metrics()), work_before=parse_work(before))

    def health(self) -> tuple[Health, str]:
        """Tells what /health shows, with words where that does not say it all."""
        try:
            answer = ask(self.target, "GET", "/health", self.timeouts.health)
        except TimedOut:
            return Health.TIMEOUT, ""
        except Refused:
            return Health.REFUSED, ""
        except NoRoute as error:
            return Health.UNREACHABLE, str(error)
        except RequestFailed as error:
            unheard = closes_unasked(self.target, self.timeouts.unasked)
            return (Health.UNHEARD, "") if unheard else (Health.OTHER, str(error))
        if answer.status == 503:
            return self.unavailable(answer)
        if answer.status == 500 and self.says_dead(answer):
            return Health.UNAVAILABLE, ""
        if answer.status == 200 and is_page(answer.body):  # a login, or a maintenance notice
            return Health.GATEWAY, answer.words
        if answer.status == 200:
            return Health.OK, ""
        return (Health.GATEWAY if answer.status in NOBODY_BEHIND else Health.OTHER), answer.words

    def unavailable(self, answer: HttpAnswer) -> tuple[Health, str]:
        """Tells whose 503 it is. A proxy that says it for vLLM says it on every path, and vLLM's own does not."""
        if is_scaling(answer.text):
            return Health.SCALING, answer.words
        if self.says_dead(answer):
            return Health.UNAVAILABLE, ""
        return Health.GATEWAY, answer.words

    def says_dead(self, answer: HttpAnswer) -> bool:
        """True if vLLM itself says that its engine died: by 503, in releases before 0.10 by 500."""
        return has_own_form(answer.status, answer.body, answer.headers) and self.is_vllm()

    def is_vllm(self) -> bool:
        """True if vLLM itself answers where its engine is not asked."""
        try:
            answer = ask(self.target, "GET", "/version", self.timeouts.paused)
        except RequestFailed:
            return False
        return (answer.status == 200 and is_version(answer.json())) or "vllm:" in self.metrics()

    def paused(self) -> bool | None:
        """True if it is paused; None where it does not say: without dev mode, or when its engine does not answer."""
        try:
            answer = ask(self.target, "GET", "/is_paused", self.timeouts.paused)
        except RequestFailed:
            return None
        document = answer.json() if answer.status == 200 else None
        said = document.get("is_paused") if isinstance(document, dict) else None
        return said if isinstance(said, bool) else None

    def metrics(self) -> str:
        """vLLM's page, or '' when it cannot be had."""
        try:
            answer = ask(self.target, "GET", "/metrics", self.timeouts.metrics, limit=MAX_PAGE)
        except RequestFailed:
            return ""
        return answer.text if answer.status == 200 else ""

    def canary(self, seconds: float) -> Canary:
        start, answered = time.monotonic(), True
        try:
            ok, applicable, detail = judge(self._complete(seconds, key_header(self.target)))
        except TimedOut:
            answered = False
            ok, applicable, detail = False, True, f"no answer within {seconds:g} s"
        except Unsendable:  # the key is not shown
            ok, applicable, detail = False, False, "it could not be asked; check url and api_key_file of this target"
        except RequestFailed as error:
            ok, applicable, detail = False, True, f"it {error}"
        except Blind as error:
            ok, applicable, detail = False, False, str(error)
        return Canary(ok, applicable, time.monotonic() - start, detail, answered)

    def _complete(self, seconds: float, key: Headers) -> HttpAnswer:
        """The answer to the completion, or to the list of models when that failed; both within one timeout."""
        end = time.monotonic() + seconds
        models = ask(self.target, "GET", "/v1/models", seconds, key)
        model = choose_model(models.json())
        if models.status != 200 or not model:
            return models
        body = {"model": model, "prompt": f"canary {self.marker}", "max_tokens": 1, "temperature": 0}
        left = max(0.1, end - time.monotonic())
        return ask(self.target, "POST", "/v1/completions", left, key, body)


def judge(answer: HttpAnswer) -> tuple[bool, bool, str]:
    """The (ok, applicable, words) of a canary's answer. A refusal of such requests proves nothing of the engine."""
    status = answer.status
    if status == 200:
        document = answer.json()
        choices = document.get("choices") if isinstance(document, dict) else None
        return (
            (True, True, "") if choices else (False, True, f"answered 200 without a completion: {quoted(answer.body)}")
        )
    if 300 <= status < 400:
        return False, False, f"{answer.words}; check url of this target"
    if status in (401, 403):
        return False, False, f"HTTP {status}: it wants another key; check api_key_file of this target"
    if 400 <= status < 500 and status != 429:
        return (
            False,
            False,
            f"HTTP {status}: it does not complete text, as pooling models do not: {quoted(answer.body)}",
        )
    return False, True, answer.words


def choose_model(answer: object) -> str:
    """The first model of /v1/models, or ''."""
    models = answer.get("data") if isinstance(answer, dict) else None
    first = models[0] if isinstance(models, list) and models else None
    return str(first.get("id", "")) if isinstance(first, dict) else ""
