"""The two shapes of an answer: text completion and chat."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The form of an endpoint's answers."""

    prefix: str  # of ids
    kind: str  # `object` of an answer
    part_kind: str  # of a stream's events
    is_chat: bool = False

    def choice(self, index: int, text: str, reason: str) -> dict[str, object]:
        end: dict[str, object] = {"logprobs": None, "finish_reason": reason, "stop_reason": None}
        if self.is_chat:
            return {"index": index, "message": {"role": "assistant", "content": text, "refusal": None}, **end}
        return {"index": index, "text": text, **end, "prompt_logprobs": None}

    def part(self, index: int, text: str, reason: str | None) -> dict[str, object]:
        end: dict[str, object] = {"logprobs": None, "finish_reason": reason, "stop_reason": None}
        content: dict[str, object] = {"delta": {"content": text}} if self.is_chat else {"text": text}
        return {"index": index, **content, **end}

    def first(self, index: int) -> dict[str, object] | None:
        """The event before all text, which only chat has."""
        if not self.is_chat:
            return None
        return {"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}


COMPLETION = Shape("cmpl", "text_completion", "text_completion")
CHAT = Shape("chatcmpl", "chat.completion", "chat.completion.chunk", is_chat=True)


def usage(prompt: int, completion: int) -> dict[str, object]:
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
        "prompt_tokens_details": None,
    }
