"""Which GPUs are linked, over a stand-in for the driver's library: tests/exporter/subjects/gpu/nvml_stub.c."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.exporter.subjects.gpu.nvml.rig import MakeRig
from tests.exporter.subjects.gpu.stub import Stub
from vllm_exporter.facts.facts import GpuLink
from vllm_exporter.subjects.gpu.nvml.links import Ends, count_between, make_link, sort_ends

HERE = frozenset({"0000:17:00.0", "0000:18:00.0"})
P2P, TYPE = "nvmlDeviceGetP2PStatus", "nvmlDeviceGetNvLinkRemoteDeviceType"


def by_pair(links: Iterable[GpuLink]) -> dict[tuple[str, str], GpuLink]:
    return {(one.gpu_id, one.peer): one for one in links}


def test_eight_gpus_at_switches_reach_each_other_by_all_their_links(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 8)
    rig = make_rig(stub)
    found = by_pair(rig.links())
    assert len(found) == 28
    assert {(one.linked, one.nvlinks) for one in found.values()} == {(True, 18)}
    assert (found["0", "3"].level, found["3", "4"].level) == ("NODE", "SYS")
    assert not [function for function, _ in rig.failures if "P2P" in function or "Remote" in function]


def test_links_that_are_down_do_not_count(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 3)
    stub.set("links_up", 16, gpu=1)
    assert [one.nvlinks for one in make_rig(stub).links()] == [16, 18, 16]


def test_gpus_linked_in_pairs_are_not_linked_across(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 4)
    stub.set("nvlink", 1)
    stub.set("field.91", 4)
    assert make_rig(stub).links() == (
        GpuLink("0", "1", True, 4, "NODE"),
        GpuLink("0", "2", False, 0, "SYS"),
        GpuLink("0", "3", False, 0, "SYS"),
        GpuLink("1", "2", False, 0, "SYS"),
        GpuLink("1", "3", False, 0, "SYS"),
        GpuLink("2", "3", True, 4, "NODE"),
    )


def test_without_nvlink_there_is_only_the_way_over_pcie(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    stub.set("nvlink", 0)
    stub.set("ancestor", 30)
    assert make_rig(stub).links() == (GpuLink("0", "1", False, 0, "PHB"),)


def test_a_single_gpu_has_no_pairs_and_nothing_is_asked(stub: Stub, make_rig: MakeRig) -> None:
    stub.fault(TYPE, 999)
    rig = make_rig(stub)
    assert rig.links() == ()
    assert (TYPE, "unknown") not in rig.failures


@pytest.mark.parametrize("code", [3, 13])
def test_without_peer_status_the_ends_of_links_tell(stub: Stub, make_rig: MakeRig, code: int) -> None:
    stub.set("gpus", 4)
    stub.set("nvlink", 1)
    stub.fault(P2P, code)
    found = by_pair(make_rig(stub).links())
    assert (found["0", "1"].linked, found["0", "1"].nvlinks) == (True, 18)
    assert (found["1", "2"].linked, found["1", "2"].nvlinks) == (False, 0)


def test_a_driver_that_knows_no_types_knows_how_many_links_end_at_switches(old_stub: Stub, make_rig: MakeRig) -> None:
    old_stub.set("gpus", 2)
    rig = make_rig(old_stub)
    assert rig.links() == (GpuLink("0", "1", True, 18, "SYS"),)
    assert rig.failures[TYPE, "function_not_found"] == 2, "once of each GPU"


def test_where_the_ends_are_not_known_only_the_number_is_missing(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    stub.set("field.147.code", 3)
    stub.fault(TYPE, 3)
    stub.fault("nvmlDeviceGetNvLinkRemotePciInfo_v2", 3)
    assert make_rig(stub).links() == (GpuLink("0", "1", True, None, "SYS"),)


def test_of_what_the_driver_does_not_say_nothing_is_said(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    for function in (P2P, "nvmlDeviceGetNvLinkState", "nvmlDeviceGetTopologyCommonAncestor"):
        stub.fault(function, 13)
    rig = make_rig(stub)
    assert rig.links() == (GpuLink("0", "1", None, None, None),)
    assert rig.failures[P2P, "function_not_found"] == 1


def test_links_that_must_not_be_used_are_none(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    stub.set("p2p", 4)  # switched off in the driver's settings
    assert make_rig(stub).links() == (GpuLink("0", "1", False, 0, "SYS"),)


def test_links_are_read_again_after_ten_minutes(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    rig = make_rig(stub)
    first = rig.links()
    stub.set("p2p", 3)
    for _ in range(59):
        assert rig.links() is first
    assert rig.links() == (GpuLink("0", "1", False, 0, "SYS"),)


def test_nothing_new_is_the_same_object(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    rig = make_rig(stub)
    assert rig.links() is rig.links(600)


def test_a_link_that_goes_down_and_a_fabric_that_comes_up_are_seen_at_once(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    stub.set("fabric_state", 2)
    stub.set("p2p", 3)
    rig = make_rig(stub)
    assert [one.nvlinks for one in rig.links()] == [0]
    stub.set("p2p", 0)
    stub.set("fabric_state", 3)
    assert [one.nvlinks for one in rig.links()] == [18]
    stub.set("links_up", 17, gpu=1)
    assert [one.nvlinks for one in rig.links()] == [17]


def test_a_gpu_that_is_lost_while_links_are_read_leaves_what_was_known(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 3)
    rig = make_rig(stub)
    first = rig.links()
    stub.fault(P2P, 15, gpu=0)
    assert rig.links(600) is first
    stub.heal()
    stub.fault("*", 15, gpu=2)
    assert [(one.gpu_id, one.peer) for one in rig.links()] == [("0", "1")]


def test_links_that_end_elsewhere_are_no_links_to_a_gpu_here() -> None:
    ends = [(0, "0000:18:00.0"), (0, "0000:99:00.0"), (1, "0000:04:00.0"), (2, ""), (255, ""), (None, "0000:05:00.0")]
    assert sort_ends("0000:17:00.0", ends, HERE, None) == Ends("0000:17:00.0", {"0000:18:00.0": 1}, 1, 2)
    assert sort_ends("0000:17:00.0", ends, HERE, 2) == Ends("0000:17:00.0", {"0000:18:00.0": 1}, 2, 1)
    assert sort_ends("0000:17:00.0", [(255, "")], HERE, 99) == Ends("0000:17:00.0", {}, 1, 0)


def test_one_side_is_enough_to_count_and_doubt_is_no_zero() -> None:
    a, silent = Ends("a", {"b": 4}), Ends("b", {})
    assert count_between(a, silent) == count_between(silent, a) == 4
    assert count_between(silent, Ends("c", {}, switched=6)) == 0
    assert count_between(silent, Ends("c", {}, unknown=6)) is None
    assert count_between(a, None) is None


def test_the_driver_s_word_on_peers_goes_before_the_count() -> None:
    assert make_link("0", "1", False, 18, None) == GpuLink("0", "1", False, 0)
    assert make_link("0", "1", True, 0, None) == GpuLink("0", "1", True, None)
    assert make_link("0", "1", None, 0, "PIX") == GpuLink("0", "1", False, 0, "PIX")
    assert make_link("0", "1", None, None, None) == GpuLink("0", "1", None, None)
