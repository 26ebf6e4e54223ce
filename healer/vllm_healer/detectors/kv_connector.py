"""KV connector: transfers of KV cache between servers fail: NIXL, Mooncake, LMCache, offloading."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Trouble


class KvConnector(Trouble):
    """Names a trouble of a server that serves, for a person."""

    broken = "transfers of KV cache to or from it fail"
    person = (
        "look at the network between the servers, restart the peer that went away and then this one; after "
        "invalid blocks both sides"
    )
