"""Errors as vLLM words them."""

from __future__ import annotations

from deploy.simulator.errors import EngineDead
from deploy.simulator.server.http1 import Answer, json_answer


class ApiError(Exception):
    """An answer instead of a result."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status}}

    @property
    def answer(self) -> Answer:
        return json_answer(self.body, self.status)


def not_found() -> ApiError:
    return ApiError(404, "Not Found", "Not Found")


def method_not_allowed() -> ApiError:
    return ApiError(405, "Method Not Allowed", "Method Not Allowed")


def unknown_model(name: object) -> ApiError:
    return ApiError(404, "NotFoundError", f"The model `{name}` does not exist.")


def bad_field(kind: str, field: str, message: str, given: object = None) -> ApiError:
    """A field of the body that is missing or wrong."""
    error = {"type": kind, "loc": f"body.{field}", "msg": message, "input": repr(given)[:200]}
    return ApiError(400, "Bad Request", f"1 validation error:\n  {error}", f"body.{field}")


def bad_json(position: int) -> ApiError:
    error = {"type": "json_invalid", "loc": f"body.{position}", "msg": "JSON decode error"}
    return ApiError(400, "Bad Request", f"1 validation error:\n  {error}", f"body.{position}")


def bad_value(param: str, message: str) -> ApiError:
    return ApiError(400, "BadRequestError", message, param)


def too_long(limit: int, tokens: int) -> ApiError:
    return bad_value(
        "input_tokens",
        f"This model's maximum context length is {limit} tokens. However, your prompt contains {tokens} input tokens, "
        "which exceeds this limit even without any output tokens. Please reduce the length of the input prompt.",
    )


def engine_dead() -> ApiError:
    return ApiError(500, "InternalServerError", str(EngineDead()))


UNAUTHORIZED = json_answer({"error": "Unauthorized"}, 401)
