"""A site whose hour a test moves: whom does it tell of an alert, when and in which words? DOMAIN section 4.

Everything is real but the hour: the log and MQTT are nats-server, the record is PostgreSQL, the recipients are
HTTP servers, her unit is an MQTT client, people act over the API; dispatcher, courier, downlink, recorder and API
run here as tasks. ``story`` is all that was heard, by the hour of the site. The hour moves from one that an alert
has set to the next, and only when everything that the one before brought has been delivered and ruled upon
(``still``), so that what is heard has an exact hour on a machine of any speed.

Two rooms have their own recipient, the border runs between the two of a measure; ``elsewhere`` is every other one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiomqtt
import httpx2
import msgspec
import pytest
from audited import STEP_MS, audited
from builders import DEVICES, NOW_MS, PROTECTED, REALM, at_the_border, eventually, topic
from doors import NatsDoor
from moved_clock import MovedClock
from real_broker import cancelled
from recipients import Recipient, courier, listening

from alerts.__main__ import proof_doors
from alerts.api.server import run_api
from alerts.channels.cap_reader import read_cap
from alerts.channels.police import UNVERIFIED_FR, VERIFIED_FR
from alerts.dispatcher import QUEUES, run_dispatcher
from alerts.downlink import run_downlink
from alerts.episodes import place, placed_as
from alerts.escalation import Step, next_step
from alerts.protection_orders import ALERT_EXPIRES_MS, OVER_EXPIRES_MS
from alerts.recorder import run_recorder
from alerts.routing import Routing
from audit.auditor import Laws
from audit.laws.answered import Answered
from tocsin import subjects
from tocsin.adapters.accesses import AccessRecord
from tocsin.adapters.alarm_load import AlarmLoadRecord
from tocsin.adapters.commands import CommandRecord
from tocsin.adapters.episodes import EpisodeRecord
from tocsin.adapters.figures import FiguresRecord
from tocsin.adapters.jetstream import Bus
from tocsin.adapters.orders import Orders
from tocsin.adapters.postgres import open_pool
from tocsin.clock import MS
from tocsin.embedded import BrokerAddresses, hash_password
from tocsin.model.episode import Channel, Episode, Receipt, Ruling
from tocsin.model.finding import Alarm, Code, Finding
from tocsin.model.notice import Notice
from tocsin.model.order import Order
from tocsin.model.protocol import PoliceMode, Protocol
from tocsin.settings import ApiUser, Settings
from tocsin.subjects import EPISODES, RECEIPTS, WIRES, Stream
from tocsin.wire import decode_receipt, decode_ruling, decode_wire_answers, encode

PATIENCE_S: Final = 30.0
"""For everything to be still: a bound for a machine that is very busy, and no measure of anything."""
WATCHED: Final = (subjects.ALARMS, subjects.FINDINGS, subjects.NOTICES, subjects.RECEIPTS, EPISODES)
RECORDING: Final = frozenset({subjects.RECORDER_EPISODES, "recorder-receipts"})
DAY_MS: Final = 86_400_000
AUDITED_S: Final = 28
"""Over the patience of every law about P1 and P2; her unit and P3 have 65 s (test_auditor_agrees.py)."""

MARTIN, PETIT, ROUX = "A. Martin", "B. Petit", "S. Roux"
STAFF: Final = {
    "token-of-mme-martin-0001": ApiUser(name=MARTIN, role="teleassistant"),
    "token-of-m-petit-0000001": ApiUser(name=PETIT, role="monitor"),
    "token-of-mme-roux-000001": ApiUser(name=ROUX, role="supervisor"),
}
TOKENS: Final = {user.name: token for token, user in STAFF.items()}

TELEASSISTANCE, SECOND_SITE, OPERATIONS, HER_UNIT = "téléassistance", "second site", "operations", "her unit"
ELSEWHERE: Final = "elsewhere"


def hour_ms(hour: str) -> int:
    """``01:30``: minutes and seconds since the beginning."""
    minutes, seconds = hour.split(":")
    return NOW_MS + (int(minutes) * 60 + int(seconds)) * MS


def hour_of(ms: int) -> str:
    minutes, seconds = divmod((ms - NOW_MS) // MS, 60)
    return f"{minutes:02}:{seconds:02}"


@dataclass(kw_only=True)
class World:
    bus: Bus
    clock: MovedClock
    protocol: Protocol
    people: dict[str, Recipient]
    record: EpisodeRecord
    api: httpx2.AsyncClient
    dispatches: Callable[[Callable[[], None]], Coroutine[Any, Any, None]]
    rulings: list[tuple[int, Ruling]] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    orders_to_her: list[dict[str, Any]] = field(default_factory=list)
    followed: dict[str, int] = field(default_factory=dict)
    acts: int = 0
    let_wait: frozenset[str] = frozenset()
    parts: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    # --- the hour ------------------------------------------------------------------------------------------

    async def until(self, hour: str) -> None:
        """What the alerts have set up to that hour, and at it, has happened."""
        target_ms = hour_ms(hour)
        await self.still()
        while (next_ms := self._next_hour_ms(target_ms)) is not None:
            self.clock.move(next_ms)
            await self.still()
        self.clock.move(target_ms)
        await self.still()

    def _next_hour_ms(self, target_ms: int) -> int | None:
        now_ms = self.clock.now_ms()
        hours = [step.at_ms for step in self._steps() if now_ms < step.at_ms <= target_ms]
        return min(hours, default=None)

    def _steps(self) -> list[Step]:
        steps = (next_step(one, self.protocol, self._is_imminent(one)) for one in self._in_places().values())
        return [step for step in steps if step is not None]

    def _is_imminent(self, episode: Episode) -> bool | None:
        imminent = (one for one in self._in_places().values() if one.code is Code.IMMINENT and one.lasts)
        return True if any({*one.measures} & {*episode.measures} for one in imminent) else None

    def _in_places(self) -> dict[tuple[str, str], Episode]:
        return {place(ruling.episode): ruling.episode for _, ruling in self.rulings}

    async def still(self) -> None:
        """Nothing waits on any queue, nothing is due, and all that was sent to her unit is there."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await self._is_still():
                    self.no_part_died()
                    await asyncio.sleep(0.005)  # between two looks; the deadline is what fails
        except TimeoutError:
            raise AssertionError(f"not still at {hour_of(self.clock.now_ms())}: {await self._waits()}") from None

    async def _is_still(self) -> bool:
        before = await self._ends()
        if any([await self._unsettled(stream) for stream in WATCHED]) or before != await self._ends():
            return False
        if any(self.followed.get(one.name, 0) < before[one.name] for one in (EPISODES, RECEIPTS)):
            return False
        sent = [one for one in self.receipts if one.channel is Channel.UNIT and one.result == "sent"]
        is_due = any(step.at_ms <= self.clock.now_ms() for step in self._steps())
        return not is_due and len(sent) == len(self.orders_to_her)

    async def _waits(self) -> list[str]:
        """For what: hours that have come, queues that are not empty."""
        due = [str(step) for step in self._steps() if step.at_ms <= self.clock.now_ms()]
        return due + [one for stream in WATCHED for one in await self._unsettled(stream)]

    async def _ends(self) -> dict[str, int]:
        js = self.bus.client.jetstream()
        return {one.name: (await js.stream_info(one.name)).state.last_seq for one in WATCHED}

    async def is_joined(self) -> bool:
        """Every queue of the desk is there: what comes before that waits for nobody that can be seen."""
        js = self.bus.client.jetstream()
        there = {one.name for stream in WATCHED for one in await js.consumers_info(stream.name)}
        return {queue.name for queue in QUEUES} <= there

    async def _unsettled(self, stream: Stream) -> list[str]:
        """Of the durable ones: a reader that has died is forgotten by the server in its own time."""
        queues = await self.bus.client.jetstream().consumers_info(stream.name)
        return [
            f"{one.name}: {one.num_pending} waiting, {one.num_ack_pending} leased"
            for one in queues
            if (one.num_pending or one.num_ack_pending)
            and one.config.durable_name
            and one.name not in self.let_wait
        ]

    # --- what happens --------------------------------------------------------------------------------------

    async def happens(self, *events: Finding | Alarm | Notice) -> None:
        """At one time, and what follows from it at this hour."""
        for event in events:
            match event:
                case Finding():
                    where = subjects.findings(0, event.code.value)
                case Alarm():
                    where = subjects.alarm(event.device)
                case Notice():
                    where = subjects.notice(event.code.value)
            await self.bus.log.append(where, encode(event))
        await self.still()

    def episode(self, code: Code = Code.PROX_ALERT, subject: str = "msr_1") -> Episode:
        return self._in_places()[placed_as(code).value, subject]

    async def seen(self, who: str, code: Code = Code.PROX_ALERT, subject: str = "msr_1") -> httpx2.Response:
        """The alert as he reads it, as it is now."""
        episode = self.episode(code, subject)

        async def newest() -> httpx2.Response | None:
            read = await self.api.get(f"/api/v1/alerts/{episode.id}", headers=self._as(who))
            return read if read.headers.get("ETag") == f'"{episode.version}"' else None

        found: httpx2.Response = await eventually(newest, within_s=PATIENCE_S)
        return found

    @staticmethod
    def _as(who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKENS[who]}"}

    async def act(
        self, who: str, method: str, what: str, said: dict[str, Any] | None = None, *,
        code: Code = Code.PROX_ALERT, subject: str = "msr_1", status: int = 200,
    ) -> httpx2.Response:  # fmt: skip
        """On what he sees now; ``status``: what he is answered."""
        read = await self.seen(who, code, subject)
        self.acts += 1
        key = {"Idempotency-Key": f"key-{self.acts}"} if method == "POST" else {}
        answer = await self.api.request(
            method, f"{read.request.url.path}/{what}", json=said,
            headers={**self._as(who), "If-Match": read.headers["ETag"], **key},
        )  # fmt: skip
        assert answer.status_code == status, answer.text
        await self.still()
        return answer

    async def takes(
        self, who: str, code: Code = Code.PROX_ALERT, *, subject: str = "msr_1", status: int = 200, **said: Any
    ) -> None:
        how = said or {"job": "teleassistance"}
        await self.act(who, "PUT", "acknowledgement", how, code=code, subject=subject, status=status)

    async def releases(self, who: str, code: Code = Code.PROX_ALERT) -> None:
        await self.act(who, "DELETE", "acknowledgement", code=code)

    async def hands_over(self, who: str, to: str) -> None:
        await self.act(who, "POST", "handovers", {"to": to})

    async def does(self, who: str, code: Code = Code.PROX_ALERT, **said: Any) -> None:
        await self.act(who, "POST", "actions", said, code=code)

    async def hands_off(self, who: str, code: Code = Code.PROX_ALERT) -> None:
        await self.act(who, "POST", "handoffs", {}, code=code, status=202)

    async def closes(self, who: str, outcome: str, code: Code = Code.PROX_ALERT, **said: Any) -> None:
        await self.act(who, "POST", "closure", {"outcome": outcome, **said}, code=code)

    async def restarts(self) -> None:
        """The dispatcher is killed, and another one begins with what is on the log."""
        await self.dies_until(hour_of(self.clock.now_ms()))

    async def dies_until(self, hour: str) -> None:
        """The same, and there is none between now and then."""
        await cancelled(self.parts.pop("dispatcher"))
        self.clock.move(hour_ms(hour))
        ready = asyncio.Event()
        self.parts["dispatcher"] = asyncio.create_task(self.dispatches(ready.set))
        await asyncio.wait_for(ready.wait(), PATIENCE_S)
        await self.still()

    # --- what was heard ------------------------------------------------------------------------------------

    def story(self, *who: str) -> list[str]:
        """All of it, or what these have heard, by hour, by whom, in words. Nobody hears a thing twice."""
        lines: list[tuple[int, int, str]] = []
        for index, (name, recipient) in enumerate(self.people.items()):
            assert len({*recipient.ids}) == len(recipient.ids), f"{name} was told twice under one name"
            if not who or name in who:
                lines += [(one.at_ms, index, f"{name}: {in_words(one.body)}") for one in recipient.heard]
        if not who or HER_UNIT in who:
            lines += [(*_order_in_words(one),) for one in self.orders_to_her]
        return [f"{hour_of(at_ms)} {text}" for at_ms, _, text in sorted(lines)]

    def priorities(self) -> list[tuple[str, int]]:
        return [(one.code.value, one.priority) for one in self._in_places().values()]

    async def is_tapped(self) -> bool:
        """What the courier has handed over is on the log, as it came over the wire: that is written each half
        second of the machine's, while the hours of a test pass in none."""
        noted: set[str] = set()
        async with aclosing(self.bus.log.read(WIRES, WIRES.subjects)) as reader:
            async for entries in reader:
                if not entries:
                    break
                noted |= {
                    one.notification for entry in entries for one in decode_wire_answers(entry.payload).answers
                }
        heard = {one.headers["webhook-id"] for each in self.people.values() for one in each.heard}
        return heard <= noted

    def no_part_died(self) -> None:
        died = {name: one.exception() for name, one in self.parts.items() if one.done()}
        assert not died, died

    async def is_recorded(self) -> None:
        """Every step and every attempt is in the record, once, in its order."""
        await self.still()
        for name in {ruling.episode.id for _, ruling in self.rulings}:
            kept = await self.record.timeline(name)
            assert [one.sequence for one in kept.rulings] == [
                sequence for sequence, ruling in self.rulings if ruling.episode.id == name
            ]
            said = [_attempt(one) for one in self.receipts if one.episode == name]
            assert sorted(_attempt(one) for one in kept.attempts) == sorted(said)


def _attempt(receipt: Receipt) -> tuple[str, str, int, str, int]:
    return (receipt.notification, receipt.line, receipt.attempt, receipt.result, receipt.t7_ms)


def in_words(body: bytes) -> str:
    """``escalated to supervisor``; to a room ``Alert, not verified``; to operations ``firing SYS_CLOCK``."""
    if body.startswith(b"<"):
        return _cap_in_words(body)
    said = json.loads(body)
    if "groupKey" in said:
        return f"{said['status']} {said['commonLabels']['alertname']}"
    data, kind = said["data"], said["type"].rpartition(".")[2]
    words = f"{kind} {data['code']} P{data['priority']}" if kind in {"opened", "raised"} else kind
    return words if data["audience"] is None else f"{words} to {data['audience']}"


def _cap_in_words(body: bytes) -> str:
    message = read_cap(body)
    is_verified = message.infos[0].parameter("tocsin:verified") == "true"
    assert (VERIFIED_FR in message.note) is is_verified
    assert (UNVERIFIED_FR.partition(" : ")[0] in message.note) is not is_verified
    return f"{message.message_type}, {'vérifié' if is_verified else 'non vérifié'}"


def _order_in_words(said: dict[str, Any]) -> tuple[int, int, str]:
    """Its hour is that at which it ends, less what it lives for."""
    lives_ms = OVER_EXPIRES_MS if said["state"] == "over" else ALERT_EXPIRES_MS
    return said["exp"] * MS - lives_ms, 99, f"{HER_UNIT}: {said['state']}{', rings' if said['ring'] else ''}"


@asynccontextmanager
async def world(
    bus: Bus, broker: BrokerAddresses, dsn: str, mode: PoliceMode = PoliceMode.AUTO_ON_TIMEOUT
) -> AsyncIterator[World]:
    """A site at work. At the end every part still is, and the record has everything.

    An attempt has the wall's PATIENCE_S: everybody answers here, and the next one would come at an hour that
    does not.
    """
    clock, protocol = MovedClock(NOW_MS), Protocol(police_mode=mode)
    for device in DEVICES.values():
        await bus.devices.put(device.id, encode(device))
    await bus.orders.put("msr_1", encode(ORDER))
    names = (TELEASSISTANCE, SECOND_SITE, OPERATIONS, "CIC-13", "CORG-13", ELSEWHERE)
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("alerts.line.WEBHOOK_TIMEOUT_S", PATIENCE_S)
        people = {name: await stack.enter_async_context(listening(200, clock=clock)) for name in names}
        pool = await stack.enter_async_context(open_pool(dsn))
        unit = await stack.enter_async_context(NatsDoor(broker.mqtt_url).device(PROTECTED))
        await unit.subscribe(topic(PROTECTED, "cmd"), qos=1)
        api = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False))

        def dispatches(ready: Callable[[], None]) -> Coroutine[Any, Any, None]:
            return run_dispatcher(
                log_=bus.log, clock=clock, realm=REALM, ready=ready, devices=bus.devices,
                routing=Routing(territory=at_the_border(), addressed=frozenset({"CIC-13", "CORG-13"})),
                protocol=protocol,
            )  # fmt: skip

        site = World(
            bus=bus, clock=clock, protocol=protocol, people=people, record=EpisodeRecord(pool), api=api,
            dispatches=dispatches,
        )  # fmt: skip
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        there = [asyncio.Event(), asyncio.Event()]
        works = {
            "dispatcher": dispatches(lambda: None),
            "downlink": run_downlink(
                url=broker.mqtt_url, log_=bus.log, devices=bus.devices, orders=bus.orders, partitions=1,
                clock=clock, ready=there[0].set,
            ),
            "recorder": run_recorder(
                log=bus.log, record=site.record, accesses=AccessRecord(pool), commands=CommandRecord(pool),
                ready=there[1].set,
            ),
            "api": run_api(
                log=bus.log, standings=bus.standings, incidents=bus.incidents, episodes=site.record,
                orders=Orders(pool), alarm_load=AlarmLoadRecord(pool), figures=FiguresRecord(pool),
                proof=proof_doors(pool, pool, clock),
                settings=Settings(api_port=0, api_tokens=STAFF), clock=clock, hash_password=hash_password,
                ready=port.set_result,
            ),
            "rulings": _follow(site, EPISODES),
            "receipts": _follow(site, RECEIPTS),
            "her unit": _listen(site, unit),
        }  # fmt: skip
        site.parts = {name: asyncio.create_task(work) for name, work in works.items()}
        try:
            urls = {name: one.url for name, one in people.items()}
            site.parts["courier"] = await stack.enter_async_context(
                courier(
                    bus.log, urls[TELEASSISTANCE], urls[ELSEWHERE], second=urls[SECOND_SITE],
                    operations=urls[OPERATIONS], clock=clock, CIC_13=urls["CIC-13"], CORG_13=urls["CORG-13"],
                )
            )  # fmt: skip
            for one in there:
                await asyncio.wait_for(one.wait(), PATIENCE_S)
            api.base_url = httpx2.URL(f"http://127.0.0.1:{await asyncio.wait_for(port, PATIENCE_S)}")
            await eventually(site.is_joined, within_s=PATIENCE_S)
            yield site
            await site.is_recorded()
            site.no_part_died()
        finally:
            for part in site.parts.values():
                await cancelled(part)


@asynccontextmanager
async def audited_world(
    bus: Bus, broker: BrokerAddresses, dsn: str, mode: PoliceMode = PoliceMode.AUTO_ON_TIMEOUT
) -> AsyncIterator[World]:
    """The same, with the auditor beside it from the first moment on. What it heard it judges at the end, when its
    own hours pass with those of the site: until then the site's are moved, and no minute of its patience is."""
    async with world(bus, broker, dsn, mode) as site, audited(bus, site.clock, laws=laws_of(mode)) as auditor:
        yield site
        for _ in range(AUDITED_S * MS // STEP_MS):
            await site.until(hour_of(site.clock.now_ms() + STEP_MS))
            await eventually(site.is_tapped, within_s=PATIENCE_S)
            await auditor.passes(STEP_MS // MS)
        assert auditor.pages == []


def laws_of(mode: PoliceMode) -> Laws:
    return Laws(answered=Answered(mode))


ORDER: Final = Order(
    id="msr_1", version=1, wearer="wearer-1", protected=PROTECTED, alert_distance_m=1000,
    valid_from_ms=NOW_MS - DAY_MS, valid_until_ms=NOW_MS + 90 * DAY_MS,
)  # fmt: skip


async def _follow(site: World, stream: Stream) -> None:
    async with aclosing(site.bus.log.read(stream, stream.subjects)) as reader:
        async for entries in reader:
            for entry in entries:
                if stream is EPISODES:
                    site.rulings.append((entry.sequence, decode_ruling(entry.payload)))
                else:
                    site.receipts.append(decode_receipt(entry.payload))
                site.followed[stream.name] = entry.sequence


async def _listen(site: World, unit: aiomqtt.Client) -> None:
    async for message in unit.messages:
        assert isinstance(message.payload, bytes)
        said = msgspec.json.decode(message.payload)
        if said["action"] == "protection":
            site.orders_to_her.append(said)
