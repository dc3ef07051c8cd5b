"""Does the gauge of open alerts count every priority of the catalogue?"""

from __future__ import annotations

import pytest
from builders import NOW_MS, REALM, entry
from prometheus_client import REGISTRY

from alerts.api.projection import Projection
from alerts.catalogue import CATALOGUE
from alerts.desk import handle
from tocsin.model.episode import FindingCause, Ruling
from tocsin.model.finding import Code
from tocsin.ports import Entry
from tocsin.wire import encode


@pytest.mark.parametrize("code", [Code.W_BATT_LOW, Code.V_BATT_LOW, Code.V_NOT_CARRIED, Code.PROX_ALERT])
async def test_an_open_alert_of_any_priority_is_counted(code: Code) -> None:
    ruling = handle(None, FindingCause(finding=entry(code=code)), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    Projection().apply([Entry(sequence=1, subject="log.episode", payload=encode(ruling))])
    labels = {"priority": str(CATALOGUE[code].priority)}
    assert REGISTRY.get_sample_value("tocsin_alerts_open", labels) == 1
