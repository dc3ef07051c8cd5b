"""Split differently, killed anywhere, a worker says the same (A5, F01, F02).

The real worker among the twins. A story is fixes, ticks and changed measures; hours between them are such that
exits by the clock happen, which no fix brings. What is compared are the bytes of findings and commands per
subject, and the standings in the end; t5, the hour of the computation, is left out.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from geofence_lives import Mortality, Site, make_talkative, meet, play, said, split, without_t5
from geofence_pairs import T0_MS, P, W, fix, order
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geofence import engine, journal
from geofence.pair_table import PairTable, Roster, roster_of, stack
from tocsin.ports import Entry
from tocsin.subjects import FIXES, JOURNAL
from tocsin.wire import decode_fixes

ORDERS = (order("msr_a"), order("msr_b", protected=3, alert_distance_m=2000), order("msr_c", 4, 5))
AGAIN = (order("msr_a", version=2, alert_distance_m=2000), order("msr_c", 4, 5), order("msr_d", 3, P))
"""Of the same devices as ORDERS: a device that nobody knew is another question (tests/unit)."""

moves = st.tuples(
    st.sampled_from([W, W, W, P, 3, 4, 5, 7]),
    st.sampled_from([0.0, 0.0, 500.0, 1050.0, 1500.0, 2500.0, 5000.0]),
)
inputs = st.one_of(
    st.lists(moves, min_size=1, max_size=5),
    st.lists(moves, min_size=1, max_size=5),
    st.just("tick"),
    st.just("vanishes"),
    st.just("vanishes"),
    st.sampled_from([ORDERS, AGAIN]),
)
stories = st.lists(st.tuples(st.sampled_from([1, 5, 31, 64]), inputs), min_size=2, max_size=8)
deaths = st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=6)


def told(plan):
    """A plan as a story: every fix a second of its own, so that no two are alike."""
    story, now_s = [(T0_MS, np.concatenate([fix(P, 0), fix(W, 1, 500.0)]))], 2
    for gap_s, one in plan:
        now_s += gap_s
        if one == "vanishes":  # in, out once, and then not a word: what only a tick finds
            story.append((T0_MS + 1000 * now_s, np.concatenate([fix(W, now_s, 500.0), fix(W, now_s + 1, 1500.0)])))
            now_s += 65
            story.append((T0_MS + 1000 * now_s, None))
        elif isinstance(one, list):
            fixes = [fix(who, now_s + at, east_m) for at, (who, east_m) in enumerate(one)]
            now_s += len(one)
            story.append((T0_MS + 1000 * now_s, np.concatenate(fixes)))
        else:
            story.append((T0_MS + 1000 * now_s, None if one == "tick" else one))
    return story


async def outcome(story, mortalities=()):
    site = Site(ORDERS)
    await play(site, story, mortalities)
    return await site.heard()


@pytest.fixture(autouse=True, scope="module")
def _talkative():
    with pytest.MonkeyPatch.context() as patch:
        make_talkative(patch)
        yield


@settings(max_examples=60, deadline=None)
@given(stories, st.lists(st.integers(0, 5), max_size=4))
async def test_how_the_fixes_were_split_is_nobodys_business(plan, cuts):
    story = told(plan)
    pieces = [
        (hour_ms, piece)
        for hour_ms, one in story
        for piece in (split(one, cuts) if isinstance(one, np.ndarray) else [one])
    ]
    assert await outcome(pieces) == await outcome(story)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stories)
async def test_killed_at_any_operation_it_says_no_more_and_no_less(plan):
    story = told(plan)
    whole = Mortality()
    expected = await outcome(story, [whole])
    assert whole.operations >= 3, "a snapshot, two findings"
    for at in range(1, whole.operations + 1):
        for after in (False, True):
            assert await outcome(story, [Mortality(at, after=after)]) == expected, (at, after)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stories, deaths)
async def test_killed_again_and_again_also_while_it_comes_back(plan, when):
    story = told(plan)
    mortalities = [Mortality(at, after=after) for at, after in when]
    assert await outcome(story, mortalities) == await outcome(story)


@settings(max_examples=20, deadline=None)
@given(stories)
async def test_the_journal_explains_the_findings(plan):
    """FIXES and JOURNAL alone, through the bare engine, give what the worker said."""
    story = [one for one in told(plan) if not isinstance(one[1], tuple)]
    site = Site(ORDERS)
    await play(site, story)
    written = journal.read(site.log.entries(JOURNAL), journal.START)
    assert [one.place.step for one in written.ticks] == list(range(1, len(site.log.entries(JOURNAL)) + 1))
    ticks = deque(written.ticks)
    roster = roster_of(ORDERS, site.revision.devices, partition=0, partitions=1)
    table, judged = engine.revise(PairTable(Roster()), roster, 0)
    steps = [judged]
    for piece in [*journal.merged(site.log.entries(FIXES), ticks), *ticks]:
        if isinstance(piece, journal.Written):
            steps.append(engine.step(table, stack(()), piece.tick.now_ms))
        else:
            steps.append(engine.step(table, stack(decode_fixes(entry.payload) for entry in piece), 0))
    found = {}
    for finding in (one for step in steps for one in step.findings):
        found.setdefault(f"log.finding.0.{finding.code.value}", []).append(without_t5(finding))
    assert site.findings == found


async def test_ticks_matter_in_these_stories():
    """Otherwise the properties above would prove nothing about the journal."""
    story = told([(5, [(W, 1500.0)]), (64, "tick"), (5, [(W, 500.0)])])
    site = Site(ORDERS)
    worker = await site.born()
    for hour_ms, one in story[:2]:
        await meet(site, worker, hour_ms, one)
    before = site.findings
    await meet(site, worker, *story[2])
    assert site.findings != before
    assert len(site.log.entries(JOURNAL)) == 1
    await said(worker)


@given(
    st.lists(st.integers(1, 50), unique=True),
    st.lists(st.integers(0, 60)),
    st.lists(st.integers(0, 50)),
)
def test_each_tick_stands_where_it_was_applied(sequences, afters, cuts):
    entries = [Entry(subject="", payload=b"", sequence=one) for one in sorted(sequences)]
    ticks = deque(
        journal.Written(
            tick=journal.Tick(step=step, now_ms=0, after=after, life=""),
            place=journal.Place(step=step, sequence=step),
        )
        for step, after in enumerate(sorted(afters), 1)
    )
    order_of = []
    for part in np.split(np.arange(len(entries)), sorted(min(cut, len(entries)) for cut in cuts)):
        for piece in journal.merged([entries[at] for at in part], ticks):
            order_of += [piece] if isinstance(piece, journal.Written) else list(piece)
    order_of += ticks
    for at, one in enumerate(order_of):
        if isinstance(one, journal.Written):
            assert all(past.sequence <= one.tick.after for past in order_of[:at] if isinstance(past, Entry))
            assert all(next_.sequence > one.tick.after for next_ in order_of[at:] if isinstance(next_, Entry))
    assert [one.place.step for one in order_of if isinstance(one, journal.Written)] == list(
        range(1, len(afters) + 1)
    )
    assert [one for one in order_of if isinstance(one, Entry)] == entries
