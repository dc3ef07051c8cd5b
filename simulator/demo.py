"""What does a stranger see who types ``make demo``? The whole road, once, on real parts.

A small fleet reports over MQTT; a wearer drives at the protected person; the téléassistance and the police are
told over HTTP; an operator acknowledges over the API; the record is written. Each step is printed as it happens,
the measured latencies at the end. What the oracle expects and what was heard are compared, and what is left behind
is proven (``simulator.proof``); a missing alert, or a proof that does not hold, is a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from alerts.catalogue import CATALOGUE
from simulator.checkers import Verdict, judge
from simulator.fleet import Fleet
from simulator.gnss import URBAN
from simulator.lab import Laboratory, PairWanted, address_of, laboratory, latency_ms, report_head
from simulator.operator import Operator
from simulator.oracle import ExpectedAlert, Reporting, oracle
from simulator.proof import Proof, is_decided_again, is_proven, proof_of
from simulator.receiver import Delivery
from simulator.scenario import Scenario
from tocsin.clock import MS, AffineClock, from_rfc3339
from tocsin.model.episode import Channel
from tocsin.supervisor import PartEvent

INTERVAL_S = 5.0  # until they are told
LOOK_EVERY_S = 5.0
LOOK_EVERY_S_BESIDE_A_HUMAN = 40.0  # somebody at the console may want to press the key first
OPERATOR = "A. Martin"
HANDLING_S = 75.0  # longer than he stays
SETTLE_WITHIN_S = 20.0
STORY_IN_S = 10.0  # between the first connections and second 0
BUSY_MACHINE_S = 2.0  # what a unit may be held up by other work here: the budget of a P1, 99 times in 100
"""All of these are on the clock of the scenario, but SETTLE_WITHIN_S and BUSY_MACHINE_S, on the machine's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What was asked for: a story of ``seconds`` on the wall, told ``speed`` times as fast as it happens."""

    seed: int
    pairs: int
    seconds: float
    speed: float
    home: Path
    stay: bool

    @property
    def duration_s(self) -> float:
        """The length of the story on its own clock."""
        return self.seconds * self.speed


@dataclass(slots=True, kw_only=True)
class Screen:
    """Where it is told, and what the supervisor said on the way."""

    console: Console
    gaps: list[PartEvent] = field(default_factory=list)

    def tell(self, event: PartEvent) -> None:
        if event.gap_s is not None:
            self.gaps.append(event)
            self.console.print(f"[yellow]↻ {event.part} est revenu après {event.gap_s:.2f} s[/]")
        elif event.what == "died":
            self.console.print(f"[red]✗ {event.part} est mort[/] (code {event.exit_code})")


async def run_demo(demo: Demo, console: Console) -> dict[str, Any]:
    """The report; ``alerts.missing`` in it names what should have been heard."""
    screen = Screen(console=console)
    async with _set_up(demo, screen) as (lab, scenario, passwords, measures):
        started_ms = lab.clock.wall_ms()
        console.print(f"Console et API : [bold cyan]{lab.stack.addresses.api_url}/[/]")
        fleet = _fleet(lab, scenario, passwords)
        expected = oracle(scenario, _reporting(demo.speed))
        _announce(console, scenario, expected)
        async with Operator(
            lab.stack.addresses.api_url,
            clock=lab.clock,
            actor=OPERATOR,
            look_every_s=LOOK_EVERY_S_BESIDE_A_HUMAN if demo.stay else LOOK_EVERY_S,
            handling_s=HANDLING_S,
        ) as operator:
            watching = [
                asyncio.create_task(operator.run()),
                asyncio.create_task(print_deliveries(console, lab, scenario.start_ms)),
            ]
            await fleet.run()
            report = await _settled(lab, fleet, scenario, expected, measures)
            proof = await _proven(lab)
            report = {**report_head("demo", demo.seed, started_ms, demo.seconds), **report, "proof": proof}
            _print_report(console, report)
            if demo.stay:
                console.print(f"La console reste ouverte : {lab.stack.addresses.api_url}/   (Ctrl-C pour finir)")
                await _fleet_of_after(lab, scenario, passwords, fleet).run()
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
    return report


SetUp = tuple[Laboratory, Scenario, Mapping[str, str], Mapping[str, str]]


@contextlib.asynccontextmanager
async def _set_up(demo: Demo, screen: Screen) -> AsyncIterator[SetUp]:
    """Servers, parts, devices, measures: with a bar, since it takes some seconds."""
    steps = 16  # two servers that start and are ready, the schema, ten parts, the registrations
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=screen.console, transient=True, disable=not screen.console.is_terminal,
    ) as progress:  # fmt: skip
        bar = progress.add_task("mise en route", total=steps)
        starting = True

        def tell(event: PartEvent) -> None:
            if starting and event.what in {"ready", "starting"}:
                progress.update(bar, advance=1, description=f"{event.part} : {event.what}")
            else:
                screen.tell(event)

        scenario = Scenario.invent(demo.seed, couples=demo.pairs, duration_s=demo.duration_s)
        async with laboratory(home=demo.home, tell=tell, clock=_clock(demo.speed)) as lab:
            progress.update(bar, description="mesures et bracelets")
            passwords, measures = await lab.register(*people_of(scenario))
            starting = False
            progress.update(bar, completed=steps)
            progress.stop()
            start_ms = lab.clock.now_ms() + int(STORY_IN_S * MS)
            yield lab, scenario.starting_at(start_ms), passwords, measures


def _clock(speed: float) -> AffineClock:
    """From now on, ``speed`` times as fast."""
    now_ms = AffineClock().wall_ms()
    return AffineClock(epoch_ms=now_ms, anchor_ms=now_ms, rate=speed)


def people_of(scenario: Scenario) -> tuple[dict[str, Any], list[PairWanted]]:
    """The devices and the pairs of a scenario, as the laboratory registers them."""
    return (
        {party.device: party.kind for party in scenario.parties},
        [
            PairWanted(
                key=couple.key,
                wearer=couple.wearer.device,
                protected=couple.protected.device,
                alert_distance_m=couple.alert_distance_m,
            )
            for couple in scenario.couples
        ],
    )


def _fleet(lab: Laboratory, scenario: Scenario, passwords: Mapping[str, str], *, boot: int = 1) -> Fleet:
    host, port = address_of(lab.stack.addresses.mqtt_url)
    return Fleet(
        scenario,
        host=host,
        port=port,
        password_of=lambda device: passwords[device],
        clock=lab.clock,
        sky=URBAN,
        interval_s=INTERVAL_S,
        boot=boot,
    )


def _fleet_of_after(lab: Laboratory, scenario: Scenario, passwords: Mapping[str, str], before: Fleet) -> Fleet:
    """The same units, switched on again, at the intervals that they had been told: a console full of losses would
    hide the alerts of the story. Its figures count in no report."""
    fleet = _fleet(lab, after(scenario), passwords, boot=2)
    for device, unit in fleet.units.items():
        unit.interval_s = before.units[device].interval_s
    return fleet


def after(scenario: Scenario) -> Scenario:
    """The world when the story is over, without end: they end the way that they are on, and nobody presses."""
    return replace(scenario, presses=(), mishaps=(), duration_s=math.inf)


def _reporting(speed: float) -> Reporting:
    """The clock of the story runs ``speed`` times as fast: so does what a busy machine costs on it."""
    usual = Reporting()
    return replace(usual, allowance_s=usual.allowance_s + BUSY_MACHINE_S * speed)


def _announce(console: Console, scenario: Scenario, expected: list[ExpectedAlert]) -> None:
    approach = scenario.approach
    assert approach is not None
    console.print(
        f"[bold]L'histoire[/] : {len(scenario.couples)} couples. Il franchira 2·d_A à {approach.prealert_s:.0f} s "
        f"et d_A à {approach.alert_s:.0f} s, à {approach.speed_mps * 3.6:.0f} km/h. "
        f"Alertes attendues : {len(expected)}. Horloge : {scenario.duration_s:.0f} s d'histoire."
    )


async def print_deliveries(console: Console, lab: Laboratory, start_ms: int) -> None:
    """One line for each message that the téléassistance or the police take, as they take it; without end."""
    history = lab.receiver.history
    shown = 0
    while True:
        async with history.arrived:
            while len(history.deliveries) <= shown:
                await history.arrived.wait()
        for delivery in history.deliveries[shown:]:
            shown += 1
            console.print(_line(delivery, start_ms))


COLOURS = {"opened": "bold red", "raised": "red", "acknowledged": "green", "closed": "dim", "released": "yellow"}


def _line(delivery: Delivery, start_ms: int) -> str:
    kind = delivery.type.rpartition(".")[2]
    data = delivery.data
    at_s = (from_rfc3339(str(data["recorded_at"])) - start_ms) / MS
    distance = data.get("distance_m") or {}
    details = [
        f"à {distance['best']:.0f} m (seuil {data['threshold_m']} m)"
        if distance and kind in {"opened", "raised"}
        else "",
        f"par {data['owner']}" if kind == "acknowledged" else "",
        f"issue {data['outcome']}" if kind == "closed" else "",
        f"CAP {data['message_type']}" if delivery.room else "",
        "répétition" if delivery.repeat else "",
    ]
    colour = COLOURS.get(kind, "")
    said = ", ".join(part for part in details if part)
    what = f"P{data['priority']} {data['code']:<14}"
    recipient = f"{delivery.channel} {delivery.room}".strip()
    return f"{at_s:7.1f} s  [{colour}]{kind:<13}[/] {what} → {recipient:<15} {said}"


async def _settled(
    lab: Laboratory,
    fleet: Fleet,
    scenario: Scenario,
    expected: list[ExpectedAlert],
    measures: Mapping[str, str],
) -> dict[str, Any]:
    """The figures, once everything that is on its way has arrived or SETTLE_WITHIN_S have passed."""
    keys = {measure: key for key, measure in measures.items()}
    required = [one for one in expected if one.required]
    report: dict[str, Any] = {}
    deadline = asyncio.get_running_loop().time() + SETTLE_WITHIN_S
    while True:
        heard = lab.receiver.history.deliveries
        verdict = judge(required, heard, keys=keys, start_ms=scenario.start_ms)
        urgent = [one for one in required if Channel.POLICE in CATALOGUE[one.code].told]
        police = judge(urgent, heard, keys=keys, start_ms=scenario.start_ms, channel="police")
        report = await _figures(lab, fleet, required, verdict, police)
        if _is_complete(report) or asyncio.get_running_loop().time() > deadline:
            return report
        await asyncio.sleep(0.5)


async def _proven(lab: Laboratory) -> Proof:
    """What of the alerts that somebody was told can be proven, once the last of it is kept or SETTLE_WITHIN_S have
    passed."""
    deadline = asyncio.get_running_loop().time() + SETTLE_WITHIN_S
    while True:
        proof = await proof_of(lab, sorted({one.subject for one in lab.receiver.history.deliveries}))
        if is_proven(proof) or asyncio.get_running_loop().time() > deadline:
            return proof
        await asyncio.sleep(0.5)


def _is_complete(report: dict[str, Any]) -> bool:
    alerts, fixes = report["alerts"], report["fixes"]
    told = (alerts["raised"], alerts["delivered"], alerts["acknowledged"], alerts["recorded"])
    return all(count >= alerts["expected"] for count in told) and fixes["lost"] == 0


def holds(report: dict[str, Any]) -> bool:
    """Whether the demo kept its promise: the exit status."""
    alerts = report["alerts"]
    is_heard = alerts["duplicated"] == 0 and not alerts["unexpected"]
    return _is_complete(report) and is_heard and is_proven(report["proof"])


async def _figures(
    lab: Laboratory, fleet: Fleet, required: list[ExpectedAlert], verdict: Verdict, police: Verdict
) -> dict[str, Any]:
    ids = sorted({_alert_of(lab, observed.webhook_id) for _, observed in verdict.matched})
    alerts = [(await lab.api.get(f"/api/v1/alerts/{name}")).json() for name in ids]
    timelines = [(await lab.api.get(f"/api/v1/alerts/{name}/timeline")).json() for name in ids]
    spoken = fleet.acknowledged
    sent = sum(unit.tally.points for unit in fleet.units.values())
    distinct = sum(len(unit.tally.numbers) for unit in fleet.units.values())
    fixes = await lab.accounted()
    return {
        "alerts": {
            "expected": len(required),
            "raised": sum(alert.get("raises", 0) for alert in alerts),
            "delivered": len(verdict.matched) - len(police.missing),
            "acknowledged": sum(alert.get("clock", {}).get("t9") is not None for alert in alerts),
            "recorded": sum(_is_recorded(timeline) for timeline in timelines),
            "duplicated": len(verdict.duplicated) + len(police.duplicated),
            "rooms": _rooms(lab),
            "unexpected": [
                f"{one.code} {one.subject} at {one.at_s:.1f} s"
                for one in (*verdict.unexpected, *police.unexpected)
            ],
            "missing": [f"{one.code} {one.subject} by {one.latest_s:.1f} s" for one in verdict.missing],
        },
        "fixes": {
            "received": fixes.received,
            "archived": fixes.archived,
            "duplicate": fixes.duplicate,
            "refused": fixes.refused,
            "refused_why": await lab.refusals(),
            "sos_only": fixes.sos_only,
            "lost": fixes.lost_of(distinct),
            "sent": sent,
        },
        "messages_acknowledged": dict(spoken),
        "latency_ms": {
            f"t3_{end}": latency_ms(_latencies(alerts, "t3", end, lab.clock.rate)) for end in ("t7", "t8")
        },
    }


def _rooms(lab: Laboratory) -> dict[str, int]:
    """Room of the police -> how many alerts it was told of."""
    told = {(one.room, one.subject) for one in lab.receiver.history.deliveries if one.room}
    return dict(sorted(Counter(room for room, _ in told).items()))


def _alert_of(lab: Laboratory, webhook_id: str) -> str:
    """The alert that this notification was about."""
    return next(one.subject for one in lab.receiver.history.deliveries if one.webhook_id == webhook_id)


def _is_recorded(timeline: Mapping[str, Any]) -> bool:
    """The record has the opening and a human's act."""
    return any(entry["source"] == "human" for entry in timeline.get("entries", []))


def _latencies(alerts: list[Any], start: str, end: str, rate: float) -> list[float]:
    """On the wall: the clock points are on a clock that runs ``rate`` times as fast."""
    clocks = [alert.get("clock", {}) for alert in alerts]
    return [
        (from_rfc3339(clock[end]) - from_rfc3339(clock[start])) / rate
        for clock in clocks
        if clock.get(start) and clock.get(end)
    ]


def _print_report(console: Console, report: dict[str, Any]) -> None:
    alerts, fixes = report["alerts"], report["fixes"]
    table = Table(title="Ce qui a été mesuré", show_header=False)
    table.add_row("alertes attendues / levées / remises", _row(alerts, "expected", "raised", "delivered"))
    table.add_row("acquittées / inscrites / en double", _row(alerts, "acknowledged", "recorded", "duplicated"))
    rooms = " / ".join(f"{room} {count}" for room, count in alerts["rooms"].items())
    table.add_row("alertes transmises aux salles de police", rooms or "-")
    table.add_row("positions envoyées / archivées / perdues", _row(fixes, "sent", "archived", "lost"))
    table.add_row("répétées / refusées / d'un TGD en SOS", _row(fixes, "duplicate", "refused", "sos_only"))
    for reason, count in fixes["refused_why"].items():
        table.add_row(f"  refusées : {reason}", str(count))
    for name, values in report["latency_ms"].items():
        start, _, end = name.partition("_")
        table.add_row(f"{start} → {end} p50 / p99 / max (ms)", _row(values, "p50", "p99", "max"))
    _add_proof(table, report["proof"])
    console.print(table)
    for problem in (*alerts["missing"], *alerts["unexpected"], *report["proof"]["named"]):
        console.print(f"[red]{problem}[/]")


def _add_proof(table: Table, proof: Proof) -> None:
    table.add_row("écarts constatés par le contrôle indépendant", str(proof["differences"]))
    table.add_row("chaînes vérifiées / maillons / fautes", _row(proof, "chains", "links", "faults"))
    table.add_row("dossiers de preuve / sans faute", _row(proof, "packages", "packages_good"))
    again = "oui" if is_decided_again(proof) else "non"
    counted = _row(proof, "decided_again", "decisions")
    table.add_row("décisions rejouées à l'identique", f"{again} ({counted})")


def _row(values: Mapping[str, Any], *names: str) -> str:
    return " / ".join("-" if values[name] is None else str(values[name]) for name in names)
