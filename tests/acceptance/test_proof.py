"""Can everything that happened be proven by the commands that anybody can type? F09, F10; invariants 1, 3 and 7.

A whole Tocsin, everything real: he crosses, an operator takes and closes the alert, a TGD is pressed. Then the
commands, each a process of its own; the package is checked in an empty folder with an empty environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from builders import SECRET, eventually
from lab_fixture import running_lab
from recipients import Recipient, listening
from reference.package_check import problems

from audit.commands.database import record
from audit.evidence import NoSuchAlert, gather
from simulator.gateway import Gateway
from simulator.lab import Laboratory, PairWanted
from simulator.operator import Operator, SeenAlert
from tocsin.adapters.evidence import Evidence
from tocsin.adapters.heads import Heads
from tocsin.adapters.jetstream import open_bus
from tocsin.clock import MS
from tocsin.heads import Head
from tocsin.model.device import DeviceKind
from tocsin.subjects import AUDITOR_PULSE
from tocsin.wire import decode_pulse

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

TOCSIN: Final = Path(sys.executable).with_name("tocsin")
HIS, HERS, PHONE = "his-w", "her-p", "phone-1"
KINDS: Final = {HIS: DeviceKind.WEARER, HERS: DeviceKind.PROTECTED, PHONE: DeviceKind.TGD}
PAIR: Final = PairWanted(key="one", wearer=HIS, protected=HERS, alert_distance_m=1000)
HOME: Final = (43.2965, 5.3698)
NORTH_PER_M: Final = 1 / 111_132.0
WAY_M: Final = (2200.0, 1900.0, 1600.0, 1300.0, 900.0)
STEP_MS: Final = 4 * MS
WITHIN_S: Final = 40.0
LOOK_EVERY_S: Final = 0.2
OWN_PARTS: Final = ("auditor", "witness", "custodian", "recorder")
"""Of the proof: whose logs have no error."""


@dataclass
class Said:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str


@dataclass
class Site:
    """After all of it. ``crossing``, ``press``: the ids of the two alerts, and the names of their packages in
    ``folder``, which has nothing else at first."""

    lab: Laboratory
    operations: Recipient
    folder: Path
    crossing: str
    press: str

    async def typed(self, *words: str) -> Said:
        return await typed(*words, "--data-dir", str(self.lab.settings.data_dir), cwd=self.folder)

    def package(self, alert: str) -> Path:
        return self.folder / f"{alert}.jsonl"

    async def export(self, alert: str) -> None:
        why = ("--by", "A. Martin", "--purpose", f"alert:{alert}")
        said = await self.typed("evidence", "export", alert, *why, "--out", str(self.package(alert)))
        assert said.status == 0, said.err

    async def heads(self) -> list[Head]:
        """In the record: one of nothing from the start; a run over 00:05 UTC has one more."""
        async with record(self.lab.settings, statement_timeout_s=10.0) as pool:
            return await Heads(pool).all()

    async def checked(self, package: Path) -> tuple[Said, dict[str, Any]]:
        """By a stranger: no environment, no folder of ours; what she said in words, and for programs."""
        heads, verdict = self.lab.settings.published_heads, self.folder / "verdict.json"
        words = ("evidence", "verify", str(package), "--heads", str(heads), "--json", str(verdict))
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        said = await typed(*words, cwd=empty, env={})
        assert list(empty.iterdir()) == []
        return said, json.loads(verdict.read_text())


async def typed(*words: str, cwd: Path, env: dict[str, str] | None = None) -> Said:
    child = await asyncio.create_subprocess_exec(
        TOCSIN, *words, cwd=cwd, env={"PATH": "/usr/bin:/bin"} if env is None else env,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await child.communicate()
    assert child.returncode is not None
    return Said(status=child.returncode, out=out.decode(), err=err.decode())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with (
        listening(200) as operations,
        running_lab(operations_url=operations.url, operations_secret=SECRET) as (lab, _),
    ):
        await lab.register(KINDS, [PAIR])
        url = lab.stack.addresses.fleet_mqtt_url
        assert url is not None
        async with (
            Gateway(url, client_id="their-gateway") as gateway,
            Operator(lab.stack.addresses.api_url, clock=lab.clock, actor="A. Martin") as martin,
        ):
            await crosses(lab, gateway)
            crossing = await raised(martin, "PROX_ALERT")
            assert await martin.acknowledge(crossing)
            assert await martin.close(await raised(martin, "PROX_ALERT"))
            await gateway.publish(PHONE, "sos", said({"_type": "sos", "silent": False}, lab.clock.now_ms(), 1))
            press = await raised(martin, "TGD_SOS")
            assert await martin.acknowledge(press)
        folder = tmp_path_factory.mktemp("stranger")
        made = Site(lab=lab, operations=operations, folder=folder, crossing=crossing.id, press=press.id)
        await eventually(lambda: is_kept(made), within_s=WITHIN_S)
        first = await made.heads()
        assert len(first) > 0
        head = await made.typed("audit", "head")
        assert head.status == 0, head.err
        assert head.out.startswith(f"head {len(first) + 1} of ")
        await asyncio.gather(made.export(crossing.id), made.export(press.id))
        yield made


async def crosses(lab: Laboratory, gateway: Gateway) -> None:
    begun_ms = lab.clock.now_ms() - len(WAY_M) * STEP_MS
    await gateway.publish(HERS, "loc", place(begun_ms, 0.0, 1))
    for seq, north_m in enumerate(WAY_M, start=1):
        await gateway.publish(HIS, "loc", place(begun_ms + seq * STEP_MS, north_m, seq))


def place(at_ms: int, north_m: float, seq: int) -> bytes:
    lat = HOME[0] + north_m * NORTH_PER_M
    return said({"_type": "location", "lat": lat, "lon": HOME[1], "acc": 5.0}, at_ms, seq)


def said(fields: dict[str, Any], at_ms: int, seq: int) -> bytes:
    second, ms = divmod(at_ms, MS)
    return json.dumps({**fields, "tst": second, "ms": ms, "seq": seq, "boot": 1}).encode()


async def raised(operator: Operator, code: str) -> SeenAlert:
    async def there() -> SeenAlert | None:
        await asyncio.sleep(LOOK_EVERY_S)  # each look is an access that is kept
        return next((one for one in await operator.open_alerts() if one.code == code), None)

    found = await eventually(there, within_s=WITHIN_S)
    assert isinstance(found, SeenAlert)
    return found


async def is_kept(site: Site) -> bool:
    """The end of the one, a human's act on the other, and each decision of the geofence."""
    try:
        async with record(site.lab.settings, statement_timeout_s=10.0) as pool, Evidence(pool).reading() as read:
            kept = [(await gather(read, alert)).header for alert in (site.crossing, site.press)]
    except NoSuchAlert:
        return False
    sealed = await site.lab.total("tocsin_witness_cases_total", outcome="sealed")
    return sealed >= 2 and [one.state for one in kept] == ["closed", "acknowledged"]


async def test_the_record_is_whole_and_everything_in_it_was_looked_at(site: Site) -> None:
    report = site.folder / "audit.json"
    told = await site.typed("audit", "verify", "--json", str(report))
    assert (told.status, told.out) == (0, ""), told.err
    assert "the record is whole" in told.err
    checked = json.loads(report.read_text())["checked"]
    for table in ("ruling", "attempt", "access", "command", "result", "episode", "head_leaf"):
        assert checked[f"tocsin.{table}"] > 0, table
    assert checked["published file"] == len(await site.heads()) > 1


async def test_a_stranger_finds_the_decision_the_same_and_the_heads_as_published(site: Site) -> None:
    told, verdict = await site.checked(site.package(site.crossing))
    assert told.status == 0, told.out
    proven = verdict["proven"]
    assert proven["decided_again"] == proven["cases"] > 0
    assert proven["decisions_without_case"] == []
    assert proven["compared_with_published"] == proven["heads"] > 0
    assert f"{proven['cases']} of {proven['cases']} decisions were made again from their inputs" in told.out
    assert "nothing was changed, dropped or added" in told.out
    assert {one["by"] for one in verdict["rulings"]} == {"", "A. Martin"}


async def test_the_evidence_of_a_press_is_good_too(site: Site) -> None:
    told, verdict = await site.checked(site.package(site.press))
    assert (told.status, verdict["good"]) == (0, True), told.out
    assert str(HOME[0])[:5] not in told.out


async def test_a_verifier_that_knows_none_of_our_code_calls_both_good(site: Site) -> None:
    """With the page alone (docs/evidence.md); and that case and ruling are of one decision."""
    for alert in (site.crossing, site.press):
        assert problems(site.package(alert).read_bytes()) == []


async def test_one_changed_byte_is_found_and_its_line_named(site: Site) -> None:
    package = site.package(site.crossing)
    lines = package.read_bytes().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines, start=1) if b'"state":"closed"' in line and n > 1)
    lines[number - 1] = lines[number - 1].replace(b'"actor":"A. Martin"', b'"actor":"A. Mertin"', 1)
    changed = site.folder / "changed.jsonl"
    changed.write_bytes(b"".join(lines))
    assert sum(a != b for a, b in zip(package.read_bytes(), changed.read_bytes(), strict=True)) == 1
    told, verdict = await site.checked(changed)
    assert told.status == 1
    assert number in {one["line"] for one in verdict["faults"] if one["what"] == "payload_changed"}
    assert any(line.strip("│ ").startswith(f"{number} ") for line in told.out.splitlines())


async def test_the_auditor_lives_and_has_found_nothing(site: Site) -> None:
    async with open_bus(site.lab.stack.addresses.nats_url, "test of the proof") as bus:

        async def pulse_ms() -> int:
            value = await bus.tallies.get(AUDITOR_PULSE)
            return 0 if value is None else decode_pulse(value).wall_ms

        first_ms = await pulse_ms()
        assert first_ms > 0

        async def goes_on() -> bool:
            return await pulse_ms() > first_ms

        await eventually(goes_on, within_s=WITHIN_S)
    assert await site.lab.total("tocsin_audit_differences_total") == 0
    assert site.operations.heard == []
    codes = {one["code"] for one in (await site.lab.api.get("/api/v1/alerts")).json()["items"]}
    assert not {code for code in codes if code.startswith("SYS_")}


async def test_every_accepted_message_has_its_outcome(site: Site) -> None:
    async def are_even() -> bool:
        samples = await site.lab.metrics()
        left = [value for name, value in samples.items() if name.startswith("tocsin_accepted_minus_outcomes{")]
        return len(left) > 0 and not any(left)

    await eventually(are_even, within_s=WITHIN_S)
    assert await site.lab.total("tocsin_ear_messages_total", outcome="missing") == 0
    assert await site.lab.total("tocsin_ear_messages_total", outcome="agreed") > 0


async def test_no_part_of_the_proof_complains(site: Site) -> None:
    logs = site.lab.settings.data_dir / "log"
    said_by = {part: (logs / f"{part}.log").read_text().splitlines() for part in OWN_PARTS}
    levels = {part: {json.loads(line)["level"] for line in lines} for part, lines in said_by.items()}
    assert not {part for part, found in levels.items() if found & {"error", "critical"}}, said_by
