"""What of a device does the geofence keep, and for which change does it look at its pairs anew?"""

from __future__ import annotations

import msgspec
import pytest
from geofence_pairs import P, W, device, order

from geofence.pair_table import roster_of


def rostered(**changes):
    devices = {one.id: one for one in (msgspec.structs.replace(device(W), **changes), device(P))}
    return roster_of([order()], devices, partition=0, partitions=1)


def test_an_interval_of_its_own_is_kept_and_its_change_is_one():
    assert rostered(reports_every_s=30).sides[0].reports_every_s == 30
    assert rostered().sides[0].reports_every_s is None
    assert rostered(reports_every_s=30).sides != rostered(reports_every_s=60).sides


@pytest.mark.parametrize("change", [{"password_bcrypt": "another"}, {"measures": ("msr_a", "msr_b")}])
def test_what_is_not_its_business_changes_nothing(change):
    assert rostered(**change) == rostered()
