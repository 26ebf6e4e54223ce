"""A real vLLM that lives and answers badly or not at all."""

from __future__ import annotations

from tests.e2e.harness.changed_vllm import with_model, write_nan
from tests.e2e.harness.proofs import Subject

BATCH = ("--max-num-seqs", "8")
DEVELOPMENT = {"VLLM_SERVER_DEV_MODE": "1"}


def adapter_missing(one: Subject) -> None:
    one.serves("--enable-lora", *BATCH, env={"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"})
    one.breaks()
    one.ask("/v1/load_lora_adapter", lora_name="nobody", lora_path=str(one.folder / "nothing"))
    one.shows("F33", "VllmLoraFailing", 60)


def connector_missing(one: Subject) -> None:
    """A router sends what another server shall go on with to one that has no KV connector."""
    one.serves(*BATCH)
    one.breaks()
    one.ask("/v1/completions", model="tiny", prompt="one", max_tokens=1, kv_transfer_params={"do_remote_decode": True})
    one.shows("F30", "VllmKvConnectorFailing", 60)


def template_broken(one: Subject) -> None:
    """vLLM tries it out when it starts, serves all the same, and refuses each chat request."""
    template = one.folder / "broken.jinja"
    template.write_text("{{ messages.nothing.at_all }}")
    one.comes_up("--chat-template", str(template), *BATCH)
    one.breaks()
    one.shows("F39", "VllmRequestsRejectedByTemplate", 60)


def weights_damaged(one: Subject) -> None:
    """Some are no number: the answers are garbage, with status 200. The canary's are the first."""
    model = with_model(one.stage.script, one.home, write_nan)
    one.comes_up(*BATCH, env={**model, "VLLM_COMPUTE_NANS_IN_LOGITS": "1"})
    one.breaks()
    assert one.ask("/v1/completions", model="tiny", prompt="one", max_tokens=4) == 200
    one.shows("F17", "VllmCorruptOutput", 120)


def patterns_too_costly(one: Subject) -> None:
    """Each takes seconds to compile, and is given up after one."""
    one.serves(*BATCH, env={"VLLM_REGEX_COMPILATION_TIMEOUT_S": "1"})
    one.breaks()
    for number in range(14):
        pattern = f"{number}(({'|'.join(words(600))}){{1,50}}){{1,50}}"
        one.holds("/v1/completions", model="tiny", prompt="one", structured_outputs={"regex": pattern})
    one.shows("F18", "VllmStructuredOutputFailing", 200)


def grammar_without_end(one: Subject) -> None:
    """It takes minutes to compile: its request waits, and all that need a grammar after it."""
    one.serves(*BATCH)
    grammar = "root ::= (word){1,50}\nword ::= " + " | ".join(f'"{word}"' for word in words(2400))
    one.breaks()
    one.holds("/v1/completions", model="tiny", prompt="one", structured_outputs={"grammar": grammar})
    one.shows("F13", "VllmSchedulerStuck", 240)


def words(number: int) -> list[str]:
    return ["a" * length + "b" for length in range(1, number)]


def paused_and_left(one: Subject) -> None:
    one.serves(*BATCH, env=DEVELOPMENT)
    one.breaks()
    assert one.ask("/pause") == 200
    one.shows("F32", "VllmPausedLong", 90)


def asleep_with_a_client(one: Subject) -> None:
    one.serves("--enable-server-load-tracking", *BATCH, env=DEVELOPMENT)
    assert one.ask("/sleep?level=1") == 200
    one.breaks()
    one.holds("/v1/completions", model="tiny", prompt="one", max_tokens=4)
    one.shows("F31", "VllmSleepStuck", 90)
