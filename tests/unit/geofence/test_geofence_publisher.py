"""In which order is the world told what one step has found?"""

from __future__ import annotations

from builders import entry, frozen_clock, leaving

from geofence.engine import Step
from geofence.publisher import Publisher
from tocsin.model.finding import Code
from tocsin.testing.bus import MemoryBucket, MemoryLog


def told(*found):
    """The ids of ``found``, in the order of telling."""
    publisher = Publisher(MemoryLog(), MemoryBucket(), partition=0, clock=frozen_clock())
    publisher.hold(Step(findings=found))
    return [one.id for one in publisher.findings]


def losses(count):
    return [entry(f"fnd_{n}", code=Code.W_COMMS_LOSS, measure=f"msr_{n}") for n in range(count)]


def test_what_is_p1_does_not_wait_behind_a_thousand_losses():
    """F05: a carrier fails, and in the same second a strap is cut, a tag is left behind, two radios meet."""
    urgent = [
        entry("fnd_strap", code=Code.STRAP_TAMPER, priority=1),
        entry("fnd_apart", code=Code.SEPARATION, priority=1),
        entry("fnd_radios", code=Code.RF_PROXIMITY),
    ]
    far = entry("fnd_far", code=Code.SEPARATION, priority=2, measure="msr_far")
    alert = entry("fnd_alert", measure="msr_alert")
    first, *rest = told(*losses(1_000), far, *urgent, alert)
    assert (first, rest[:3]) == ("fnd_alert", [one.id for one in urgent])
    assert rest[3:] == [*(f"fnd_{n}" for n in range(1_000)), "fnd_far"]


def test_an_urgent_entry_does_not_overtake_the_end_before_it():
    began = entry("fnd_began", code=Code.SEPARATION, priority=2)
    again = entry("fnd_again", code=Code.SEPARATION, priority=1)
    assert told(*losses(1), leaving(began, "fnd_ended"), again) == ["fnd_ended", "fnd_again", "fnd_0"]
