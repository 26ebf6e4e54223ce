"""Asks a JSON API. Every way of not getting an answer becomes the error Blind, with words."""

from __future__ import annotations

from collections.abc import Mapping

import requests

from vllm_healer.errors import Blind
from vllm_healer.sessions import direct_session

QUOTED = 200  # characters of an unexpected answer that are repeated in the message


def ask(
    method: str,
    url: str,
    who: str,
    timeout: float,
    params: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> object:
    """The JSON document that `url` answers with status 200. `timeout` holds for connecting and for each read.

    Raises Blind otherwise; its message begins with `who`.
    """
    try:
        with direct_session() as session:
            response = session.request(method, url, params=params, data=form, timeout=timeout, allow_redirects=False)
            body = response.content
    except requests.Timeout:
        raise Blind(f"{who} did not answer within {timeout:g} s") from None
    except requests.RequestException as error:
        raise Blind(f"{who} did not answer: {_words(error)}") from None
    if response.status_code != 200:
        raise Blind(f"{who} answered HTTP {response.status_code}: {_quoted(body)}")
    try:
        answer: object = response.json()
    except requests.JSONDecodeError:
        raise Blind(f"{who} answered something that is not JSON: {_quoted(body)}") from None
    return answer


def _words(error: requests.RequestException) -> str:
    """The words of the first cause: requests and urllib3 wrap it three times, with object addresses in the text."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return str(cause) or type(cause).__name__


def _quoted(body: bytes) -> str:
    return repr(body[:QUOTED].decode("utf-8", "replace"))
