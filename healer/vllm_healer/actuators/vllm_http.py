"""Requests to the vLLM server itself that change something there: the verb `http` of every actuator."""

from __future__ import annotations

from vllm_healer.errors import Blind, PermanentError, TemporaryError
from vllm_healer.model import Target
from vllm_healer.net.client import RequestFailed, Unsendable
from vllm_healer.net.server import MAX_PAGE, ask, key_header, token_header

PASSING = (408, 425, 429)  # refusals of now; with 5xx all that another try may overcome


def ask_server(target: Target, method: str, path: str, body: object, timeout: float) -> str:
    """The text that the server answers with a status of 2xx. `timeout` is for the whole request.

    Raises TemporaryError when it does not answer or may do it later, PermanentError when it refuses.
    """
    what = f"{method} {target.url}{path}"
    try:
        headers = [*key_header(target), *token_header(target)]
        answer = ask(target, method, path, timeout, headers, body, MAX_PAGE)
    except (Blind, Unsendable) as error:
        raise PermanentError(f"{what}: {error}; check the files of this target") from error
    except RequestFailed as error:
        raise TemporaryError(f"{what} was not answered: it {error}") from error
    if 200 <= answer.status < 300:
        return answer.text
    words = f"{what} was answered with {answer.words}"
    raise TemporaryError(words) if answer.status >= 500 or answer.status in PASSING else PermanentError(words)
