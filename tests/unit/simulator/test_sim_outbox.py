"""What goes first, what is sent again, and what is given up?"""

from hypothesis import given
from hypothesis import strategies as st

from simulator.outbox import BULK_POINTS, FIXES_MAX, URGENT_MAX, Outbox, Outgoing


def sent(outbox: Outbox) -> list[tuple[str, list[int]]]:
    """Send everything; the seq numbers of each message."""
    found = []
    while (message := outbox.head()) is not None:
        found.append((message.leaf, [body["seq"] for body in message.bodies]))
        outbox.done()
    return found


def with_fixes(*seqs: int) -> Outbox:
    outbox = Outbox()
    for seq in seqs:
        outbox.put_fix({"seq": seq})
    return outbox


def test_a_key_press_goes_before_every_fix() -> None:
    outbox = with_fixes(1, 2)
    outbox.put_urgent("sos", {"seq": 3})
    assert sent(outbox) == [("sos", [3]), ("loc", [1]), ("loc", [2])]


def test_after_a_silence_the_newest_goes_first_and_the_rest_in_bulk() -> None:
    outbox = with_fixes(*range(1, BULK_POINTS + 6))
    assert sent(outbox) == [
        ("loc", [BULK_POINTS + 5]),
        ("bulk", list(range(1, BULK_POINTS + 1))),
        ("bulk", list(range(BULK_POINTS + 1, BULK_POINTS + 5))),
    ]
    assert outbox.is_empty


def test_a_key_pressed_while_disconnected_overtakes_what_was_on_its_way() -> None:
    outbox = with_fixes(1)
    assert outbox.head() == Outgoing(leaf="loc", bodies=({"seq": 1},))
    outbox.put_urgent("sos", {"seq": 2})
    outbox.lost()
    assert sent(outbox) == [("sos", [2]), ("loc", [1])]


def test_when_full_the_oldest_fix_goes() -> None:
    outbox = with_fixes(*range(FIXES_MAX + 10))
    assert outbox.dropped == 10
    assert min(seq for _, seqs in sent(outbox) for seq in seqs) == 10


def test_when_full_an_answer_goes_before_a_key_press() -> None:
    outbox = Outbox()
    outbox.put_urgent("res", {"seq": 0})
    for seq in range(1, URGENT_MAX + 2):
        outbox.put_urgent("sos", {"seq": seq})
    assert [seqs for _, seqs in sent(outbox)] == [[seq] for seq in range(1, URGENT_MAX + 1)]
    assert outbox.dropped == 2  # the answer, and the last press that told nothing new


@given(acts=st.lists(st.sampled_from(["fix", "sos", "send", "lose"]), max_size=200))
def test_nothing_is_lost_and_nothing_said_twice_but_what_was_on_its_way(acts: list[str]) -> None:
    outbox, put, got = Outbox(), [], []
    for seq, act in enumerate(acts):
        if act == "fix":
            outbox.put_fix({"seq": seq})
            put.append(seq)
        elif act == "sos":
            outbox.put_urgent("sos", {"seq": seq})
            put.append(seq)
        elif (message := outbox.head()) is None:
            continue
        elif act == "lose":
            outbox.lost()
        else:
            got += [body["seq"] for body in message.bodies]
            outbox.done()
    got += [seq for _, seqs in sent(outbox) for seq in seqs]
    assert sorted(got) == put
