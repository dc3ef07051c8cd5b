"""Which alerts must this world raise, and when?

From the true positions alone, with no noise, no engine and no pyproj: the oracle never imports ``geofence``. Each
answer is a window, because a unit speaks only every so often and a threshold is crossed between two fixes. Rules:
DOMAIN section 3 (rings, EXIT) and section 4 (codes). Seconds of the scenario, metres.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator import truth
from simulator.scenario import Couple, Mishap, Press, Scenario
from tocsin.limits import EXIT_MARGIN_M
from tocsin.model.finding import Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """How long the server can be in the dark: the commanded intervals, and what noise and transport add.

    A ring is entered while the interval of the band outside it is in force (DOMAIN section 2): near 30 s,
    pre-alert 10 s, once he has been seen in it. ``early_s``: noise can show a crossing before it happens, and so
    can the clock, which carries on whoever was seen coming.
    """

    near_s: float = 30.0
    prealert_s: float = 10.0
    early_s: float = 5.0
    allowance_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedAlert:
    """One time that the bell must ring: raised, or raised again.

    ``subject`` is the couple's key for PROX_*, the device for a key. ``required`` is False where the stay is too
    short for the reporting interval: to raise it is right, to miss it is no fault.
    """

    code: Code
    subject: str
    earliest_s: float
    latest_s: float
    required: bool = True


def oracle(scenario: Scenario, reporting: Reporting | None = None) -> list[ExpectedAlert]:
    """Every expected alert, by its earliest second."""
    rules = reporting or Reporting()
    found = [_pressed(press, rules) for press in scenario.presses]
    found += [_cut(scenario, mishap, rules) for mishap in scenario.mishaps if mishap.what == "cut_strap"]
    for couple in scenario.couples:
        found += _rings(scenario, couple, rules)
    return sorted(found, key=lambda one: (one.earliest_s, one.subject, one.code))


def _pressed(press: Press, rules: Reporting) -> ExpectedAlert:
    return ExpectedAlert(
        code=press.code,
        subject=press.device,
        earliest_s=press.at_s,
        latest_s=press.at_s + rules.allowance_s,
    )


def _cut(scenario: Scenario, mishap: Mishap, rules: Reporting) -> ExpectedAlert:
    """The couple whose wearer has cut his strap: each has one wearer here."""
    (couple,) = (one for one in scenario.couples if one.wearer.device == mishap.device)
    return ExpectedAlert(
        code=Code.STRAP_TAMPER,
        subject=couple.key,
        earliest_s=mishap.at_s,
        latest_s=mishap.at_s + rules.allowance_s,
    )


def _rings(scenario: Scenario, couple: Couple, rules: Reporting) -> list[ExpectedAlert]:
    alerts = truth.stays(scenario, couple, couple.alert_distance_m, EXIT_MARGIN_M)
    prealerts = truth.stays(scenario, couple, couple.prealert_distance_m, EXIT_MARGIN_M)
    return [
        *(
            _entered(couple, Code.PROX_ALERT, stay, _interval_s(stay, prealerts, rules), stay.exit_s, rules)
            for stay in alerts
        ),
        *(
            _entered(couple, Code.PROX_PREALERT, stay, rules.near_s, _until_alert(stay, alerts), rules)
            for stay in prealerts
        ),
    ]


def _interval_s(alert: truth.Stay, prealerts: list[truth.Stay], rules: Reporting) -> float:
    """Whoever crossed the pre-alert ring before anybody could see him in it still reports as from outside."""
    begun_s = max(one.entry_s for one in prealerts if one.entry_s <= alert.entry_s)
    was_seen = alert.entry_s - begun_s > rules.near_s + rules.allowance_s
    return rules.prealert_s if was_seen else rules.near_s


def _until_alert(prealert: truth.Stay, alerts: list[truth.Stay]) -> float:
    """A pre-alert that the first fix finds to be an alert already need not be told apart from it."""
    first = [alert.entry_s for alert in alerts if prealert.entry_s <= alert.entry_s < prealert.exit_s]
    return min([*first, prealert.exit_s])


def _entered(
    couple: Couple, code: Code, stay: truth.Stay, interval_s: float, visible_until_s: float, rules: Reporting
) -> ExpectedAlert:
    """``visible_until_s``: from then on a fix no longer shows this ring."""
    sees_within_s = interval_s + rules.allowance_s
    return ExpectedAlert(
        code=code,
        subject=couple.key,
        earliest_s=max(0.0, stay.entry_s - rules.early_s),
        latest_s=stay.entry_s + sees_within_s,
        required=visible_until_s - stay.entry_s > sees_within_s,
    )
