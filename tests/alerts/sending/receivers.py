"""The other side of each channel, with its real protocol, and as strict as the service is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from tests.ports import free_port

ROUTING_KEY = "R0" + "A1b2C3" * 5


@dataclass(frozen=True)
class Message:
    """What one receiver got: the text that a person reads, and what was sent."""

    receiver: str
    resolved: bool  # it says that nothing of it fires any more
    text: str
    body: Any
    at: float = field(default_factory=time.monotonic)


@dataclass
class Inbox:
    """All that came. `refuse`: receivers that answer 500. `wrong`: what a real service would not have taken."""

    messages: list[Message] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)  # who did not wait for the answer, and so tells it again, rightly

    def of(self, receiver: str) -> list[Message]:
        return [one for one in tuple(self.messages) if one.receiver == receiver]


@dataclass(frozen=True)
class Addresses:
    http: int
    smtp: int


@contextmanager
def receive(inbox: Inbox) -> Iterator[Addresses]:
    """Serves every channel until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(inbox))
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    mail = Controller(_Mail(inbox), hostname="127.0.0.1", port=free_port())
    mail.start()
    try:
        yield Addresses(server.server_port, mail.port)
    finally:
        mail.stop()
        server.shutdown()
        server.server_close()


class _Mail:
    """An SMTP server: every address but one is a person, the other one looks after GPUs."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def handle_RCPT(self, _server: object, _session: object, envelope: Envelope, address: str, *_: object) -> str:
        """Refuses here, as servers do: Alertmanager 0.25 takes what is refused after the text for sent."""
        if _mail_of(address) in self._inbox.refuse:
            return "451 try later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:
        receiver = _mail_of(envelope.rcpt_tos[0])
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
        if set(parts) != {"text/plain", "text/html"} or mail["Bcc"] or not mail["Subject"]:
            self._inbox.wrong.append(f"mail with {sorted(parts)}, {mail.items()}")
        text = f"{mail['Subject']}\n{parts.get('text/plain', '')}"
        self._inbox.messages.append(Message(receiver, "[resolved" in str(mail["Subject"]), text, parts))
        return "250 OK"


def _mail_of(address: str) -> str:
    return "gpu mail" if address == "gpu@example.org" else "mail"


def _handler(inbox: Inbox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path = urlsplit(self.path).path
            receiver, read = next((value for start, value in READERS.items() if path.startswith(start)), ("", None))
            if receiver in inbox.refuse:
                inbox.refused[receiver] = inbox.refused.get(receiver, 0) + 1
                return self.answer(500, "text/plain", "no")
            if read is None:
                inbox.wrong.append(f"nobody is at {path}")
                return self.answer(404, "text/plain", "no such page")
            try:
                message, answer = read(receiver, path, body)
            except (AssertionError, KeyError, TypeError) as error:
                inbox.wrong.append(f"{receiver}: {error!r}: {json.dumps(body)[:3000]}")
                return self.answer(400, "text/plain", "invalid_payload")
            inbox.messages.append(message)
            return self.answer(*answer)

        def answer(self, status: int, kind: str, text: str) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())
            except ConnectionError:  # this machine was too busy to answer in ten seconds
                inbox.cut.append(self.path)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


Answer = tuple[int, str, str]


def read_slack(receiver: str, _path: str, body: Any) -> tuple[Message, Answer]:
    """https://api.slack.com/reference/messaging/attachments; an incoming webhook answers the text `ok`."""
    [attachment] = body["attachments"]
    assert attachment["color"] in ("good", "warning", "danger", "#439FE0")
    assert 0 < len(attachment["title"]) <= 1024
    assert len(json.dumps(body)) < 100_000
    assert len(attachment["text"]) < 40_000
    assert urlsplit(attachment["title_link"]).scheme == "http"
    resolved = attachment["color"] == "good"
    text = f"{attachment['title']}\n{attachment['text']}"
    plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return Message(receiver, resolved, plain, body), (200, "text/html", "ok")


def read_pagerduty(receiver: str, _path: str, body: Any) -> tuple[Message, Answer]:
    """https://developer.pagerduty.com/docs/send-alert-event; answers 202."""
    assert body["routing_key"] == ROUTING_KEY
    assert body["event_action"] in ("trigger", "resolve")
    assert 0 < len(body["dedup_key"]) <= 255
    payload = body["payload"]
    assert 0 < len(payload["summary"]) <= 1024
    assert payload["source"]
    assert payload["severity"] in ("critical", "error", "warning", "info")
    assert all(urlsplit(link["href"]).scheme in ("http", "https") for link in body.get("links") or [])
    assert len(json.dumps(body)) < 512 * 1024
    details = payload["custom_details"]
    text = f"{payload['summary']}\n{details['firing']}\n{details['resolved']}"
    accepted = json.dumps({"status": "success", "message": "Event processed", "dedup_key": body["dedup_key"]})
    return Message(receiver, body["event_action"] == "resolve", text, body), (202, "application/json", accepted)


def read_opsgenie(receiver: str, path: str, body: Any) -> tuple[Message, Answer]:
    """https://docs.opsgenie.com/docs/alert-api: made with an alias, closed by it; answers 202."""
    closed = path.endswith("/close")
    if not closed:
        assert 0 < len(body["message"]) <= 130
        assert body["priority"] in ("P1", "P2", "P3", "P4", "P5")
        assert len(body["description"]) <= 15_000
        assert all(len(tag) <= 50 for tag in body["tags"])
    text = f"{body.get('message', '')}\n{body.get('description', '')}"
    alias = path.split("/")[-2] if closed else body["alias"]
    return Message(receiver, closed, text, {**body, "alias": alias}), (202, "application/json", '{"result": "x"}')


def read_teams(receiver: str, _path: str, body: Any) -> tuple[Message, Answer]:
    """A workflow takes an adaptive card, of 28 KB at most; answers 202."""
    [card] = body["attachments"]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert len(json.dumps(body, ensure_ascii=False).encode()) < 28_000
    title, text = (block["text"] for block in card["content"]["body"])
    return Message(receiver, title.startswith("[resolved"), f"{title}\n{text}", body), (202, "text/plain", "")


def read_alertmanager(receiver: str, _path: str, body: Any) -> tuple[Message, Answer]:
    """Alertmanager's own: the healer, the dead man's switch, and a program of the user."""
    assert body["version"] == "4"
    assert body["truncatedAlerts"] == 0
    return Message(receiver, body["status"] == "resolved", json.dumps(body["alerts"]), body), (200, "text/plain", "")


Reader = Callable[[str, str, Any], tuple[Message, Answer]]
READERS: dict[str, tuple[str, Reader]] = {
    "/services/": ("slack", read_slack),
    "/v2/enqueue": ("pagerduty", read_pagerduty),
    "/opsgenie/": ("opsgenie", read_opsgenie),
    "/workflows/": ("teams", read_teams),
    "/hook": ("webhook", read_alertmanager),
    "/deadman": ("deadman", read_alertmanager),
    "/alerts": ("healer", read_alertmanager),
}
