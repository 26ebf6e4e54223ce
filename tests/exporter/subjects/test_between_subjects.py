"""What one subject tells reaches another as it was meant: the events of one collector go into another."""

from __future__ import annotations

from tests.exporter.fakes import FakeClock
from vllm_exporter.config.config import Config
from vllm_exporter.facts.xids import classify
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.gpu.collector import GpuCollector
from vllm_exporter.subjects.lifecycle.inbox import Owners, sort

SERVER = "gpu1:8000"


def test_two_xids_of_one_gpu_are_two_faults_of_the_server_that_uses_it(clock: FakeClock) -> None:
    context = Context(Config(), clock)
    gpu = GpuCollector(context)
    subscription = context.bus.subscribe()
    gpu.saw_xid("0", 79, classify(79)[0])
    clock.advance(5)
    gpu.saw_xid("0", 48, classify(48)[0])
    gpu.saw_xid("1", 79, classify(79)[0])  # of a GPU that it does not use
    gpu.saw_xid("0", 31, classify(31)[0])  # a fault of the program, after which the GPU is well
    addresses = Owners((SERVER,), {}, {SERVER: frozenset("0")})
    mail = sort(subscription.drain(), addresses, offset=clock.wall() - clock.monotonic())
    assert mail[SERVER].faults == {"XID 79": clock.monotonic() - 5, "XID 48": clock.monotonic()}
