"""Every kind of bad message is counted under its own reason, kept, and harmless to the next one (F02, F31).

Through the real broker and the real ingest process; the counts are read where an engineer would read them.
"""

from __future__ import annotations

import asyncio
import json

import aiomqtt
import pytest
from lab_fixture import running_lab

from simulator.gateway import Gateway
from simulator.lab import Laboratory, PairWanted, address_of
from tocsin import subjects
from tocsin.adapters.jetstream import open_bus
from tocsin.clock import MS
from tocsin.model.device import DeviceKind
from tocsin.model.ids import derived
from tocsin.wire import decode_alarm

pytestmark = pytest.mark.timeout(120)

KEPT_WITHIN_S = 60.0
SECRET_PLACE = 43.987654  # must be found nowhere outside the log of fixes


class Speaker:
    """Says things in the name of a device, each with a number of its own."""

    def __init__(self, lab: Laboratory, gateway: Gateway) -> None:
        self._lab = lab
        self._gateway = gateway
        self._seq = 0

    def fix(self, **changes: object) -> dict[str, object]:
        self._seq += 1
        second, ms = divmod(self._lab.clock.now_ms(), MS)
        good = {"_type": "location", "lat": SECRET_PLACE, "lon": 5.1, "tst": second, "ms": ms, "acc": 5.0}
        return {**good, "seq": self._seq, "boot": 1, **changes}

    async def say(self, device: str, leaf: str, said: object) -> None:
        payload = said if isinstance(said, bytes) else json.dumps(said).encode()
        await self._gateway.publish(device, leaf, payload)


def bad_messages(speaker: Speaker, now_s: int) -> list[tuple[str, str, str, object]]:
    """(reason, device, leaf, what is said)"""
    year_s = 365 * 86_400
    other = subjects.topic("his-1", "loc")
    return [
        ("malformed", "her-1", "loc", b'{"_type":"location","lat":43.987654,'),
        ("malformed", "her-1", "loc", b'{"_type":"location","lat":NaN,"lon":5.1,"tst":1,"seq":1,"boot":1}'),
        ("malformed", "her-1", "loc", b"\xff\xfe\x00"),
        ("schema", "her-1", "loc", speaker.fix(lat="43.98")),
        ("schema", "her-1", "loc", {"_type": "location"}),
        ("schema", "her-1", "loc", speaker.fix(seq=-1)),
        ("coordinates_out_of_range", "her-1", "loc", speaker.fix(lat=91.0)),
        ("coordinates_out_of_range", "her-1", "loc", speaker.fix(lon=-181.0)),
        ("clock_ahead", "her-1", "loc", speaker.fix(tst=now_s + 3 * year_s)),
        ("clock_behind", "her-1", "loc", speaker.fix(tst=now_s - 3 * year_s)),
        ("identity_mismatch", "her-1", "loc", speaker.fix(topic=other)),
        ("too_large", "her-1", "loc", b"x" * 10_000_000),
        ("unknown_device", "nobody-1", "loc", speaker.fix()),
        ("unknown_topic", "her-1", "holiday", speaker.fix()),
        ("tgd_position_outside_sos", "phone-1", "loc", speaker.fix()),
    ]


async def _ingested(lab: Laboratory) -> dict[str, int]:
    prefix = 'tocsin_ingest_messages_total{lane="fix",outcome="'
    return {
        name.removeprefix(prefix).removesuffix('"}'): int(value)
        for name, value in (await lab.metrics()).items()
        if name.startswith(prefix)
    }


async def _until_counted(lab: Laboratory, total: int) -> dict[str, int]:
    async with asyncio.timeout(30):
        while sum((counts := await _ingested(lab)).values()) < total:
            await asyncio.sleep(0.05)
    return counts


async def test_each_kind_is_counted_kept_and_harmless() -> None:
    async with running_lab() as (lab, _):
        kinds = {"her-1": DeviceKind.PROTECTED, "his-1": DeviceKind.WEARER, "phone-1": DeviceKind.TGD}
        passwords, _ = await lab.register(
            kinds, [PairWanted(key="one", wearer="his-1", protected="her-1", alert_distance_m=1000)]
        )
        url = lab.stack.addresses.fleet_mqtt_url
        assert url is not None
        async with Gateway(url, client_id="bad-gateway") as gateway:
            speaker = Speaker(lab, gateway)
            bad = bad_messages(speaker, lab.clock.now_ms() // MS)
            for _reason, device, leaf, said in bad:
                await speaker.say(device, leaf, said)
                await speaker.say("her-1", "loc", speaker.fix())
            again = speaker.fix()
            await speaker.say("her-1", "loc", again)
            await speaker.say("her-1", "loc", again)
            counts = await _until_counted(lab, 2 * len(bad) + 2)
        expected: dict[str, int] = {"admitted": len(bad) + 1, "duplicate": 1}
        for reason, *_ in bad:
            expected[f"refused_{reason}"] = expected.get(f"refused_{reason}", 0) + 1
        assert counts == expected
        await _kept_without_digits(lab, len(bad))
        await _said_nowhere_else(lab)
        await _nobody_presses_anothers_key(lab, passwords)


async def _kept_without_digits(lab: Laboratory, expected: int) -> None:
    """The quarantine has each of them, with its reason, and no coordinate."""
    kept = []
    async with open_bus(lab.stack.addresses.nats_url, "test") as bus, asyncio.timeout(KEPT_WITHIN_S):
        async for entries in bus.log.read(subjects.REFUSED, subjects.REFUSED.subjects):
            kept += [json.loads(entry.payload) for entry in entries]
            if len(kept) >= expected:
                break
    assert len(kept) == expected
    assert not any(str(SECRET_PLACE)[3:] in json.dumps(note) for note in kept)


async def _said_nowhere_else(lab: Laboratory) -> None:
    """Where she was stands in no log of a part, no metric and no message to the téléassistance."""
    place = str(SECRET_PLACE)[3:]
    logs = [path.read_text(errors="replace") for path in (lab.settings.data_dir / "log").iterdir()]
    assert len(logs) == len(lab.stack.supervisor.names)
    told = [one.body for one in lab.receiver.history.deliveries if one.channel == "teleassistance"]
    for text in (*logs, (await lab.api.get("/metrics")).text, *told):
        assert place not in text


async def _nobody_presses_anothers_key(lab: Laboratory, passwords: dict[str, str]) -> None:
    """The broker lets a device speak under its own id only: his publication on her SOS topic raises nothing."""
    host, port = address_of(lab.stack.addresses.mqtt_url)
    now_s = lab.clock.now_ms() // MS
    his, hers = (json.dumps({"_type": "sos", "tst": now_s, "seq": seq, "boot": 1}).encode() for seq in (900, 901))
    async with aiomqtt.Client(
        host, port, username="his-1", password=passwords["his-1"], identifier="his-1-unit"
    ) as him:
        await him.publish(subjects.topic("her-1", "sos"), his, qos=1)
    async with aiomqtt.Client(
        host, port, username="her-1", password=passwords["her-1"], identifier="her-1-unit"
    ) as her:
        await her.publish(subjects.topic("her-1", "sos"), hers, qos=1)
    assert await lab.receiver.heard(2, within_s=60)
    async with open_bus(lab.stack.addresses.nats_url, "test") as bus:
        entry = await bus.log.last(subjects.ALARMS, subjects.alarm("her-1"))
        assert entry is not None
        assert entry.sequence == 1, "one press is on the log, and it is hers"
        assert decode_alarm(entry.payload).id == derived("alm", "her-1", 1, 901, now_s * MS)
    police = [one for one in lab.receiver.history.deliveries if one.channel == "police" and not one.repeat]
    assert len(police) == 1
