"""A site with years behind it: measures, alerts of both kinds, accesses and orders to units, on a real record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import msgspec
from builders import REALM, act, command, entry, fix_point, frozen_clock, press

from alerts import desk
from alerts.custodian import Custodian
from alerts.forgetting import QUEUES
from tocsin import chain, wire
from tocsin.adapters.commands import CommandRecord, RecordedCommand, RecordedResult
from tocsin.adapters.episodes import EpisodeRecord, RecordedRuling
from tocsin.adapters.postgres import Pool, Row, transaction
from tocsin.adapters.seals import Seals
from tocsin.chain import Item
from tocsin.clock import AffineClock, utc
from tocsin.model.access import Access
from tocsin.model.command import CommandStatus, Stage
from tocsin.model.episode import AlarmCause, Channel, Episode, Event, FindingCause, Outcome, Receipt, Ruling, Verb
from tocsin.model.finding import Code
from tocsin.retention import DAY_MS, Terms, keeping_in
from tocsin.sealing import of_access, of_receipt, of_ruling
from tocsin.subjects import EPISODES
from tocsin.subjects import episode as place_subject
from tocsin.testing.bus import MemoryLog

TERMS = Terms()
TABLES = (
    "ruling",
    "attempt",
    "notification",
    "episode",
    "access",
    "command",
    "result",
    "opened",
    "past_incursion",
)


@dataclass
class Site:
    """Its own clock: the hour at which the fleet was last ``heard``, so that the clock is believed."""

    pool: Pool
    log: MemoryLog = field(default_factory=MemoryLog)
    numbers: count[int] = field(default_factory=lambda: count(1))
    hour_ms: int = 0

    def custodian(self, terms: Terms = TERMS) -> Custodian:
        return Custodian(log=self.log, pool=self.pool, terms=terms, clock=self)

    def now_ms(self) -> int:
        return self.hour_ms

    def wall_ms(self) -> int:
        return AffineClock().wall_ms()

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    async def keep(self, now_ms: int) -> bool:
        """One pass of a custodian that has just begun."""
        await self.heard(now_ms)
        return await self.custodian().keep(now_ms)

    async def heard(self, now_ms: int, device: int = 999_999) -> None:
        self.hour_ms = now_ms
        await self.run(
            """insert into tocsin.last_position (device_number, measured_at, delay_ms, lat_e6, lon_e6)
               values (%s, %s, 0, 0, 0)
               on conflict (device_number) do update set measured_at = excluded.measured_at""",
            device, utc(now_ms),
        )  # fmt: skip

    async def run(self, statement: str, *values: object) -> None:
        async with transaction(self.pool) as connection:
            await connection.execute(statement.encode(), values)

    async def rows(self, query: str, *values: object) -> list[Row]:
        async with transaction(self.pool) as connection:
            return await (await connection.execute(query.encode(), values)).fetchall()

    async def counts(self) -> dict[str, int]:
        count_of = {one: f"select count(*) from tocsin.{one}" for one in TABLES}  # noqa: S608  (names of ours)
        return {one: (await self.rows(query))[0][0] for one, query in count_of.items()}

    async def device(self, name: str, kind: str, at_ms: int) -> None:
        await self.run(
            "insert into tocsin.device (id, kind, password_bcrypt, created_at) values (%s, %s, '', %s)",
            name, kind, utc(at_ms),
        )  # fmt: skip

    async def measure(self, name: str, from_ms: int, until_ms: int) -> None:
        for device, kind in ((f"w-{name}", "bar_wearer"), (f"v-{name}", "bar_protected")):
            await self.device(device, kind, from_ms)
        await self.run(
            """insert into tocsin.measure (id, version, wearer, protected, alert_distance_m, valid_from,
                 valid_until, created_at, created_by) values (%s, 1, %s, %s, 1000, %s, %s, %s, 'tj')""",
            name, f"w-{name}", f"v-{name}", utc(from_ms), utc(until_ms), utc(from_ms),
        )  # fmt: skip

    # --- alerts ---

    async def approach(self, measure: str, at_ms: int) -> Episode:
        """Raised, taken, closed: of a pair, with both places."""
        name, wearer, protected = f"fnd_{next(self.numbers)}", f"w-{measure}", f"v-{measure}"
        finding = entry(
            name, at_ms, measure=measure, wearer=fix_point(wearer, fix_ms=at_ms),
            protected=fix_point(protected, fix_ms=at_ms),
        )  # fmt: skip
        return await self.life(FindingCause(finding=finding), at_ms)

    async def pressed(self, device: str, at_ms: int, *, closed: bool = True) -> Episode:
        """A phone's key, with the place that it knew."""
        alarm = press(
            f"alm_{next(self.numbers)}",
            at_ms,
            code=Code.TGD_SOS,
            device=device,
            position=fix_point(device, fix_ms=at_ms),
            measures=(),
        )
        return await self.life(AlarmCause(alarm=alarm), at_ms, closed=closed)

    async def life(self, cause: Event, at_ms: int, *, closed: bool = True) -> Episode:
        raised = await self.rule(None, cause, at_ms)
        if not closed:
            return raised
        taken = await self.rule(raised, act(Verb.ACKNOWLEDGE, 1, at_ms=at_ms + 9_000), at_ms + 9_000)
        close = act(Verb.CLOSE, 2, at_ms=at_ms + 60_000, outcome=Outcome.FALSE_ALARM)
        return await self.rule(taken, close, at_ms + 60_000)

    async def rule(self, before: Episode | None, event: Event, now_ms: int) -> Episode:
        """As the desk rules, on the log and in the record."""
        if before is not None and hasattr(event, "episode"):
            event = msgspec.structs.replace(event, episode=before.id)  # type: ignore[type-var]
        ruled = desk.handle(before, event, REALM, now_ms)
        assert isinstance(ruled, Ruling), ruled
        await self.keep_ruling(ruled)
        return ruled.episode

    async def keep_ruling(self, ruled: Ruling, *, recorded: bool = True) -> int:
        episode = ruled.episode
        place = place_subject(episode.code.value, episode.subject)
        sequence = (await self.log.append(place, wire.encode(ruled))).sequence
        if recorded:
            await self.seal(of_ruling(sequence, ruled), ruled.at_ms)  # at its own hour: the recorder's is real
            await EpisodeRecord(self.pool).record_rulings([RecordedRuling(sequence=sequence, ruling=ruled)])
            for number, told in enumerate(ruled.notifications, 1):
                await self.receipt(episode, told.id, number, ruled.at_ms)
        await self.settle()
        return sequence

    async def receipt(self, episode: Episode, notification: str, number: int, at_ms: int) -> None:
        told = Receipt(
            notification=notification, episode=episode.id, version=episode.version, channel=Channel.POLICE,
            attempt=number, t7_ms=at_ms + number, t8_ms=at_ms + number + 50, result="taken", status=202,
        )  # fmt: skip
        await self.run(
            """insert into tocsin.attempt (notification, attempt, t7, t8, episode, version, channel, result,
               status) values (%s, %s, %s, %s, %s, %s, 'police', 'taken', 202)""",
            told.notification, number, utc(told.t7_ms), utc(at_ms + number + 50), episode.id, episode.version,
        )  # fmt: skip
        await self.seal([of_receipt(told, is_tgd=episode.code.value.startswith("TGD_"))], at_ms)

    async def settle(self) -> None:
        """Every queue of EPISODES has done its work."""
        for name in QUEUES:
            async with self.log.queue(EPISODES, name, parallel=100_000) as queue:
                while queue.unsettled:
                    for one in await queue.take(1000):
                        await one.done()

    # --- the rest of the record ---

    async def access(self, at_ms: int, *objects: str) -> None:
        number = next(self.numbers)
        read = Access(
            id=f"acc_{number}", at_ms=at_ms, who="A. Martin", role="operator", what="alert", objects=objects,
            places=True,
        )  # fmt: skip
        await self.run(
            """insert into tocsin.access (id, stream_sequence, at, who, service, role, what, objects, purpose,
               places) values (%s, %s, %s, 'A. Martin', '', 'operator', 'alert', %s, '', true)""",
            read.id, number, utc(at_ms), list(objects),
        )  # fmt: skip
        await self.seal([of_access(read)], at_ms)

    async def command(self, device: str, at_ms: int, sequence: int | None = None) -> str:
        """With what came of it, at one place of two streams."""
        number = next(self.numbers)
        place = number if sequence is None else sequence
        said = command(str(number), device, at_ms=at_ms, expires_ms=at_ms + 60_000)
        came = CommandStatus(command=said.id, device=device, stage=Stage.DONE, at_ms=at_ms, reason="done")
        record = CommandRecord(self.pool, clock=frozen_clock(at_ms))
        await record.record_commands([RecordedCommand(sequence=place, command=said)])
        await record.record_results([RecordedResult(sequence=place, status=came)])
        return said.id

    async def incursion(self, measure: str, at_ms: int) -> None:
        await self.run(
            """insert into tocsin.past_incursion (id, measure, first_at, last_at, said_at, withdrawal, finding)
               values (%s, %s, %s, %s, %s, false, '')""",
            f"fnd_past_{next(self.numbers)}", measure, utc(at_ms), utc(at_ms), utc(at_ms),
        )  # fmt: skip

    async def seal(self, items: Sequence[Item], at_ms: int) -> None:
        await Seals(self.pool).seal(items, at_ms=at_ms)

    # --- what is looked at ---

    async def faults(self) -> list[chain.Fault]:
        """Of every chain, to its very end."""
        seals, found = Seals(self.pool), []
        for name, length, last in await self.rows("select name, length, hash from tocsin.chain order by name"):
            links, opened = await seals.links(name), await seals.opened(name)
            found += chain.faults(
                name, links, opened, end=(length, bytes(last)), judge=keeping_in(name, links, opened)
            )
        return found

    async def erased(self, name: str) -> list[chain.Deletion]:
        seals = Seals(self.pool)
        return list(chain.deletions(await seals.links(name), await seals.opened(name)))

    async def sources(self, prefix: str = "") -> set[str]:
        """Of the payloads that are still there."""
        query = (
            "select source from tocsin.link join tocsin.opened using (chain, number) where starts_with(source, %s)"
        )
        return {row[0] for row in await self.rows(query, prefix)}

    async def a_year(self, from_ms: int) -> dict[int, list[str]]:
        """A measure of a month, an approach, a press, an access and an order each month; the alerts by month."""
        await self.device("tgd-year", "tgd", from_ms)
        alerts: dict[int, list[str]] = {}
        for month in range(12):
            at_ms = from_ms + month * 30 * DAY_MS
            name = f"m{month:02d}"
            await self.measure(name, at_ms, at_ms + 30 * DAY_MS)
            near, key = await self.approach(name, at_ms), await self.pressed("tgd-year", at_ms + DAY_MS)
            await self.access(at_ms + DAY_MS, near.id, key.id)
            await self.command(f"w-{name}", at_ms + DAY_MS)
            await self.incursion(name, at_ms)
            alerts[month] = [near.id, key.id]
        return alerts
