"""The KV cache."""

from __future__ import annotations

from deploy.simulator.engine.blocks import BlockPool


def test_one_block_is_kept_as_the_null_block() -> None:
    assert BlockPool(11).total == 10


def test_usage_is_the_share_of_taken_blocks() -> None:
    pool = BlockPool(11)
    pool.take(4)
    assert pool.usage == 0.4


def test_gives_none_rather_than_a_part() -> None:
    pool = BlockPool(4)
    assert pool.take(4) is None
    assert pool.free == 3


def test_a_block_given_back_is_found_again_by_what_it_holds() -> None:
    pool = BlockPool(4)
    blocks = pool.take(2)
    assert blocks
    pool.remember(blocks[0], 111)
    pool.give_back(blocks)
    assert pool.cached([111, 222]) == [blocks[0]]
    assert pool.usage == 0.0


def test_taking_a_block_for_something_else_forgets_what_it_held() -> None:
    pool = BlockPool(3)
    blocks = pool.take(2)
    assert blocks
    pool.remember(blocks[0], 111)
    pool.give_back(blocks)
    pool.take(2)
    assert pool.cached([111]) == []


def test_a_shared_block_is_free_when_its_last_user_has_left() -> None:
    pool = BlockPool(3)
    blocks = pool.take(1)
    assert blocks
    pool.share(blocks)
    pool.give_back(blocks)
    assert pool.free == 1
    pool.give_back(blocks)
    assert pool.free == 2


def test_does_not_reset_while_a_block_is_in_use() -> None:
    pool = BlockPool(3)
    blocks = pool.take(1)
    assert blocks
    assert not pool.reset()
    pool.give_back(blocks)
    assert pool.reset()
