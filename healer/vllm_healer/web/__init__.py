"""The healer's HTTP side: Alertmanager's webhook, its own metrics and health, and a page for people."""

from vllm_healer.web.app import create_app
from vllm_healer.web.auth import Right, Tokens, read_token
from vllm_healer.web.control import Control
from vllm_healer.web.deps import WebDeps
from vllm_healer.web.server import make_server

__all__ = ["Control", "Right", "Tokens", "WebDeps", "create_app", "make_server", "read_token"]
