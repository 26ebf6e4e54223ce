"""A real vLLM that lives and answers badly or not at all."""

from __future__ import annotations

import json
import os
import signal

from tests.e2e.harness.changed_vllm import with_model, write_nan
from tests.e2e.harness.inside_part import installed
from tests.e2e.harness.proofs import Subject
from tests.e2e.harness.vllm_server import SLOW_STEPS

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


def one_rank_has_all_requests(one: Subject) -> None:
    """As with a router that pins its users to a rank. Later the coordinator dies, and the server ends with it."""
    one.serves("--data-parallel-size", "2", *BATCH)
    one.breaks()
    one.loaded(60, max_tokens=800, header="X-data-parallel-rank: 0")
    one.shows("F29", "VllmDataParallelImbalance", 120)
    one.breaks()
    os.kill(one.child("VLLM::DPCoordinator"), signal.SIGKILL)
    one.shows("F29", "VllmCoordinatorFailing", 60)


def prefill_holds_up(one: Subject) -> None:
    """Prompts of 15 steps of 2 s each; who generates gets a token in each step."""
    slow = {"PYTHONPATH": str(SLOW_STEPS), "SLOW_STEPS_SECONDS": "2", "SLOW_STEPS_TOKENS": "60"}
    one.serves("--max-num-batched-tokens", "64", *BATCH, env=slow)
    one.loaded(2, prompt_tokens=5, max_tokens=100)
    one.breaks()
    one.loaded(2, prompt_tokens=900, max_tokens=5)
    one.shows("F11", "VllmPrefillHoldsUp", 240)


def drafts_in_vain(one: Subject) -> None:
    """N-grams of the prompt are drafted, and a model of random weights repeats none."""
    drafts = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_min": 1, "prompt_lookup_max": 3}
    one.serves("--speculative-config", json.dumps(drafts), *BATCH)
    one.breaks()
    one.loaded(4, prompt_tokens=200, max_tokens=400)
    one.shows("F35", "VllmSpeculationWasted", 180)


def answer_without_end(one: Subject) -> None:
    """0.2 s a token; the part inside vLLM knows how old the request is."""
    path = f"{installed(one.folder / 'site')}:{SLOW_STEPS}"
    slow = {"SLOW_STEPS_SECONDS": "0.2", "SLOW_STEPS_TOKENS": "1"}
    inside = {"PYTHONPATH": path, "VLLM_MONITOR_DIR": str(one.stage.snapshots)}
    one.serves("--middleware", "vllm_monitor.Middleware", *BATCH, env={**slow, **inside})
    one.breaks()
    one.loaded(1, max_tokens=900)
    one.shows("F41", "VllmRequestRunsLong", 150)
