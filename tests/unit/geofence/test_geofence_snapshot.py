"""What a snapshot keeps, and what a damaged one does. (That nothing is lost: tests/properties.)"""

from __future__ import annotations

import pytest
from geofence_pairs import P, W, World, order, roster

from geofence import engine, snapshot
from tocsin.model.zone import Zone


def kept():
    world = World(order(), order("msr_b", protected=3))
    world.fix(P, 0)
    world.fix(W, 10, 500)
    world.table.broken.add(1)
    return world, snapshot.dump(snapshot.Snapshot(table=world.table, sequence=42, outbox=tuple(world.findings)))


def test_it_says_where_the_stream_goes_on_and_what_is_still_to_be_said():
    world, payload = kept()
    loaded = snapshot.load(payload)
    assert (loaded.sequence, loaded.outbox) == (42, tuple(world.findings))
    assert loaded.table.broken == {1}
    assert loaded.table.clock_ms == world.table.clock_ms


def test_pairs_that_no_longer_exist_are_dropped():
    loaded = snapshot.load(kept()[1])
    table, judged = engine.revise(loaded.table, roster(order()), 0)
    assert [one.id for one in table.roster.orders] == ["msr_a"]
    assert (judged.findings, table.state(0).zone) == ((), Zone.ALERT)


def test_passwords_are_not_kept():
    assert b"$2b$" not in kept()[1]


@pytest.mark.parametrize("damage", ["magic", "body", "cut", "empty"])
def test_a_damaged_one_is_refused(damage):
    payload = kept()[1]
    damaged = {
        "magic": b"TOCGEO\x00\x01" + payload[8:],
        "body": payload[:-9] + bytes([payload[-9] ^ 1]) + payload[-8:],
        "cut": payload[:-1],
        "empty": b"",
    }[damage]
    with pytest.raises(snapshot.SnapshotUnreadable):
        snapshot.load(damaged)


def test_a_phone_that_is_in_no_pair_is_not_remembered():
    """Invariant 6: its position is on the log for its days, and in no snapshot."""
    with_phone, without = World(), World()
    for world in (with_phone, without):
        world.fix(P, 0)
        world.fix(W, 10, 500)
    with_phone.fix(7, 20, 4_000)
    payloads = []
    for world in (with_phone, without):
        world.tick(60)
        payloads.append(snapshot.dump(snapshot.Snapshot(table=world.table, sequence=42, outbox=())))
    assert payloads[0] == payloads[1]
