"""Requests to the vLLM server itself that change something there: the verb `http` of every actuator."""

from __future__ import annotations

import requests

from vllm_healer.errors import PermanentError, TemporaryError
from vllm_healer.model import Target
from vllm_healer.sessions import key_header, server_session

PASSING = (408, 425, 429)  # refusals of now; with 5xx all that another try may overcome
QUOTED = 200  # characters of an answer that are repeated in a message


def ask_server(target: Target, method: str, path: str, body: object, timeout: float) -> str:
    """The text that the server answers with a status of 2xx. `timeout` holds for connecting and for each read.

    Raises TemporaryError when it does not answer or may do it later, PermanentError when it refuses.
    """
    what = f"{method} {target.url}{path}"
    try:
        with server_session(target) as session:
            response = session.request(
                method, target.url + path, json=body, headers=key_header(target), timeout=timeout, allow_redirects=False
            )
            text = response.text
    except requests.RequestException as error:
        raise TemporaryError(f"{what} was not answered: {type(error).__name__}") from error
    except OSError as error:
        raise PermanentError(f"{what}: api_key_file {target.api_key_file}: {error.strerror}") from error
    if 200 <= response.status_code < 300:
        return text
    words = f"{what} was answered with HTTP {response.status_code}: {text[:QUOTED]!r}"
    raise (
        TemporaryError(words)
        if response.status_code >= 500 or response.status_code in PASSING
        else PermanentError(words)
    )
