"""How do the ports of the bus look on NATS JetStream?

What the ports promise and the server does not give by itself is done here: a publication that is retried under
its own message id until the log confirms it, a conflict told apart from an outage, a reader that goes on where
it was when the server was restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import nats
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    KeyValueConfig,
    ObjectStoreConfig,
    StreamConfig,
    StreamState,
)
from nats.js.errors import (
    APIError,
    BucketNotFoundError,
    NotFoundError,
    ObjectNotFoundError,
    ServiceUnavailableError,
)
from nats.js.kv import KV_DEL, KV_PURGE, KeyValue

from tocsin.clock import from_rfc3339
from tocsin.errors import LogUnavailable, LogUnreachable, SequenceConflict
from tocsin.limits import LEASE_S
from tocsin.ports import Appended, Changed, Delivery, Entry, Extent, Progress, Usage
from tocsin.subjects import BUCKETS, SNAPSHOTS, STREAMS, Stream

WRONG_LAST_SEQUENCE = 10071
PUBLISH_TIMEOUT_S = 2.0
LOOK_TIMEOUT_S = 3
OBJECT_PATIENCE_S = (*(0.5,) * 8, 3.0, 30.0)
"""For an object, try by try: 1 MB is read in some 20 ms. The last ones are for a machine that is slow."""
ASKED_AGAIN_S = (0.02, 0.05, 0.1, 0.2, 0.4)  # of a P1's 2 s at most 0.77: a reload takes less
NOBODY_ANSWERS: Final = (NoRespondersError, ServiceUnavailableError)
"""The same of a message, and of a question to the log itself."""
PURGE_TIMEOUT_S = 10.0  # nobody waits for it; a place with thousands of rulings takes a moment
DUPLICATE_WINDOW_S = 120.0
HEARTBEAT_S = 2.0
READ_STALL_S = 3 * HEARTBEAT_S
"""A reader that has heard neither a message nor a heartbeat for this long asks again from where it was."""

T = TypeVar("T")

log = structlog.get_logger()


async def connect(url: str, name: str) -> Client:
    """A connection that never gives up; a stage without its bus waits."""

    async def on_error(error: Exception) -> None:
        log.warning("bus_error", error=repr(error))

    async def on_disconnected() -> None:
        log.warning("bus_disconnected")

    async def on_reconnected() -> None:
        log.info("bus_reconnected")

    return await nats.connect(
        url, name=name, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=on_error,
        disconnected_cb=on_disconnected, reconnected_cb=on_reconnected,
        pending_size=64 * 1024 * 1024, ping_interval=5, max_outstanding_pings=2,
    )  # fmt: skip


async def prepare(client: Client) -> None:
    """Make the streams, buckets and the object store that are missing; harmless when all are there."""
    js = client.jetstream()
    for stream in STREAMS:
        config = StreamConfig(
            name=stream.name,
            subjects=[stream.subjects],
            max_age=float(stream.keep_s),
            max_bytes=stream.max_bytes,
            max_msgs=-1 if stream.max_messages is None else stream.max_messages,
            discard=DiscardPolicy.NEW if stream.refuse_when_full else DiscardPolicy.OLD,
            duplicate_window=DUPLICATE_WINDOW_S,
            allow_direct=True,
        )
        try:
            await _answered(partial(js.update_stream, config))
        except NotFoundError:
            await _answered(partial(js.add_stream, config))
    for bucket in BUCKETS:
        try:
            await _answered(partial(js.key_value, bucket))
        except BucketNotFoundError:
            await _answered(partial(js.create_key_value, KeyValueConfig(bucket=bucket, history=1)))
    try:
        await _answered(partial(js.object_store, SNAPSHOTS))
    except (NotFoundError, BucketNotFoundError):
        await _answered(partial(js.create_object_store, SNAPSHOTS, ObjectStoreConfig(bucket=SNAPSHOTS)))


class JetStreamLog:
    """``ports.Log`` on one connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._js = client.jetstream(timeout=PUBLISH_TIMEOUT_S)

    async def append(
        self, subject: str, payload: bytes, *, dedupe_id: str | None = None, expected_last: int | None = None
    ) -> Appended:
        headers: dict[str, str] = {}
        if dedupe_id is not None:
            headers["Nats-Msg-Id"] = dedupe_id
        if expected_last is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected_last)
        try:
            with _cancellable():
                ack = await self._js.publish(subject, payload, headers=headers or None)
        except APIError as error:
            if error.err_code == WRONG_LAST_SEQUENCE:
                raise SequenceConflict(subject) from error
            raise LogUnavailable(f"{subject}: {error.description}") from error
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"{subject}: {error!r}") from error
        return Appended(sequence=ack.seq, duplicate=bool(ack.duplicate))

    async def last(self, stream: Stream, subject: str) -> Entry | None:
        try:
            found = await _answered(lambda: self._js.get_last_msg(stream.name, subject))
        except NotFoundError:
            return None
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"{subject}: {error!r}") from error
        assert found.seq is not None
        return Entry(subject=subject, payload=found.data or b"", sequence=found.seq)

    async def extent(self, stream: Stream) -> Extent:
        try:
            state = await self._state(stream)
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"{stream.name}: {error!r}") from error
        return Extent(messages=state.messages, gone=max(0, state.first_seq - 1))

    async def _state(self, stream: Stream) -> StreamState:
        return (await _answered(lambda: self._js._jsm.stream_info(stream.name))).state  # noqa: SLF001  (as in Follower)

    async def progress(self, stream: Stream, name: str) -> Progress:
        try:
            end = (await self._state(stream)).last_seq
            info = await _answered(lambda: self._js.consumer_info(stream.name, name))
        except NotFoundError:
            return Progress(end=end, settled=0)
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"{stream.name}: {error!r}") from error
        if not (info.num_pending or info.num_ack_pending):
            return Progress(
                end=end, settled=end, handed=end
            )  # asked behind the end: what came since is not counted
        delivered = info.delivered.stream_seq if info.delivered else 0
        return Progress(
            end=end,
            settled=info.ack_floor.stream_seq if info.ack_floor else 0,
            handed=delivered if info.num_pending else end,
        )

    async def usages(self) -> Sequence[Usage]:
        found: list[Usage] = []
        try:
            streams = await _answered(self._js.streams_info)
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"streams: {error!r}") from error
        for stream in streams:
            config, gives_way = stream.config, stream.config.discard == DiscardPolicy.OLD
            for unit, used, bound in (
                ("bytes", stream.state.bytes, config.max_bytes or -1),
                ("messages", stream.state.messages, config.max_msgs or -1),
            ):
                if bound > 0:
                    name = f"{config.name}.{unit}"
                    found.append(Usage(resource=name, used=used, bound=bound, gives_way=gives_way))
        return found

    async def hour_ms(self) -> int:
        """Any answer about a stream carries it."""
        name = f"$JS.API.STREAM.INFO.{STREAMS[0].name}"
        try:
            answer = await _answered(lambda: self._client.request(name, b"", timeout=PUBLISH_TIMEOUT_S))
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"hour: {error!r}") from error
        said = json.loads(answer.data).get("ts")
        if said is None:
            raise LogUnavailable("the server does not say its hour")
        return from_rfc3339(said)

    async def forget(self, stream: Stream, subject: str, *, before: int) -> int:
        if before <= 1:
            return 0  # to the server no sequence means all of them
        asked = json.dumps({"filter": subject, "seq": before}).encode()
        try:
            answer = await _answered(
                lambda: self._js._api_request(  # noqa: SLF001  (purge_stream does not say how many)
                    f"$JS.API.STREAM.PURGE.{stream.name}", asked, timeout=PURGE_TIMEOUT_S
                )
            )
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"{subject}: {error!r}") from error
        return int(answer["purged"])

    async def read(
        self, stream: Stream, subject: str, *, after: int = 0, newest_per_subject: bool = False
    ) -> AsyncIterator[Sequence[Entry]]:
        follower = Follower(self._client, stream.name, subject, after=after, newest=newest_per_subject)
        async for messages in follower.batches():
            yield [
                Entry(subject=message.subject, payload=message.data, sequence=message.metadata.sequence.stream)
                for message in messages
            ]

    @asynccontextmanager
    async def queue(
        self, stream: Stream, name: str, *, parallel: int, subject: str | None = None
    ) -> AsyncIterator[JetStreamDeliveries]:
        config = ConsumerConfig(
            durable_name=name,
            deliver_group=name,
            deliver_subject=f"deliver.{name}",
            filter_subject=subject or stream.subjects,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=LEASE_S,
            max_ack_pending=parallel,
        )
        while True:
            try:
                with _cancellable():
                    await self._js.add_consumer(stream.name, config)
                break
            except (NatsError, TimeoutError) as error:
                log.warning("queue_retry", queue=name, error=repr(error))
                await asyncio.sleep(HEARTBEAT_S / 4)
        inbox: asyncio.Queue[Msg] = asyncio.Queue()
        subscription = await self._js.subscribe_bind(
            stream.name, config, name, cb=inbox.put, manual_ack=True, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        try:
            yield JetStreamDeliveries(inbox, self._js, stream.name, config)
        finally:
            await _unsubscribe(subscription)


class Follower:
    """Reads one subject of one stream in order, without leases, for ever.

    The server sends a heartbeat when it has nothing to say. Silence, or a gap in the consumer's own numbering,
    means that the server was restarted or a message was lost on the way: the follower then asks again from the
    message behind the last one it handed out.
    """

    def __init__(self, client: Client, stream: str, subject: str, *, after: int, newest: bool) -> None:
        self._client = client
        self._js = client.jetstream(timeout=PUBLISH_TIMEOUT_S)
        self._stream = stream
        self._subject = subject
        self._after = after
        self._newest = newest
        self._told_present = False

    async def batches(self) -> AsyncIterator[list[Msg]]:
        """Messages as they arrive; one empty list when the present is reached."""
        while True:
            inbox: asyncio.Queue[Msg] = asyncio.Queue()
            target = self._client.new_inbox()
            subscription = await self._client.subscribe(
                target, cb=inbox.put, pending_msgs_limit=-1, pending_bytes_limit=-1
            )
            try:
                with _cancellable():
                    waiting = await self._ask(target)
                if waiting == 0 and not self._told_present:
                    self._told_present = True
                    yield []
                async for messages in self._until_silence(inbox):
                    yield messages
            except (NatsError, TimeoutError) as error:
                log.warning("follow_failed", stream=self._stream, error=repr(error))
                await asyncio.sleep(HEARTBEAT_S / 4)
            finally:
                await _unsubscribe(subscription)

    async def _ask(self, target: str) -> int:
        """Make a consumer from where we are; returns how many messages were waiting for it."""
        await self._mind_the_end()
        config = ConsumerConfig(
            deliver_subject=target, filter_subject=self._subject, ack_policy=AckPolicy.NONE,
            idle_heartbeat=HEARTBEAT_S, flow_control=True, inactive_threshold=60.0, mem_storage=True,
        )  # fmt: skip
        if self._after > 0:
            config.deliver_policy = DeliverPolicy.BY_START_SEQUENCE
            config.opt_start_seq = self._after + 1
        elif self._newest:
            config.deliver_policy = DeliverPolicy.LAST_PER_SUBJECT
        info = await self._js._jsm.add_consumer(self._stream, config)  # noqa: SLF001  (the public way back to it)
        already = info.delivered.consumer_seq if info.delivered else 0
        return (info.num_pending or 0) + already

    async def _mind_the_end(self) -> None:
        """A place behind the end is of another stream (made anew, restored, or short of its last second after a
        power cut): waiting there would be deafness. Everything is read again; names make that harmless."""
        if self._after == 0:
            return
        state = (await self._js._jsm.stream_info(self._stream)).state  # noqa: SLF001
        if self._after > state.last_seq:
            log.critical("follow_from_the_start", stream=self._stream, after=self._after, last=state.last_seq)
            self._after = 0

    async def _until_silence(self, inbox: asyncio.Queue[Msg]) -> AsyncIterator[list[Msg]]:
        expected = 1
        while True:
            try:
                async with asyncio.timeout(READ_STALL_S):  # wait_for may swallow a cancellation (3.11)
                    arrived = [await inbox.get()]
            except TimeoutError:
                log.warning("follow_silent", stream=self._stream, after=self._after)
                return
            while not inbox.empty():
                arrived.append(inbox.get_nowait())
            data = [message for message in arrived if not await self._is_answered_control(message)]
            messages = _in_sequence(data, expected)
            expected += len(messages)
            if messages:
                self._after = messages[-1].metadata.sequence.stream
                yield messages
                if not messages[-1].metadata.num_pending and not self._told_present:
                    self._told_present = True
                    yield []
            if len(messages) < len(data):  # what came before the gap has been handed out
                log.warning("follow_gap", stream=self._stream, after=self._after)
                return

    async def _is_answered_control(self, message: Msg) -> bool:
        if not _is_control(message):
            return False
        if message.reply:
            await self._client.publish(message.reply)
        return True


def _in_sequence(messages: list[Msg], expected: int) -> list[Msg]:
    """Those in front of the first gap in the consumer's own numbering."""
    whole = itertools.takewhile(
        lambda numbered: numbered[1].metadata.sequence.consumer == numbered[0],
        enumerate(messages, start=expected),
    )
    return [message for _, message in whole]


def _is_control(message: Msg) -> bool:
    """A heartbeat or a flow-control request: no data, status 100."""
    return not message.data and bool(message.headers) and (message.headers or {}).get("Status") == "100"


@contextmanager
def _cancellable() -> Iterator[None]:
    """A request of nats-py waits with ``wait_for``, which swallows a cancellation that comes in the same turn as
    the answer (3.11): a part that asks in a loop would go on for ever, and whoever ended it would wait for ever.
    Here it is raised after all. What a part that is cancelled already asks for in its end is not stopped."""
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


async def _answered(ask: Callable[[], Awaitable[T]]) -> T:
    """What the log says to a question, or to something that harms nobody twice. A broker that takes in new logins
    answers nobody for some ms: just when a snapshot must know a new measure (F10), or when an operator acts."""
    for wait_s in ASKED_AGAIN_S:
        try:
            with _cancellable():
                return await ask()
        except NOBODY_ANSWERS:
            await asyncio.sleep(wait_s)
    with _cancellable():
        return await ask()


async def _unsubscribe(subscription: Subscription) -> None:
    try:
        await subscription.unsubscribe()
    except (NatsError, TimeoutError) as error:
        log.info("unsubscribe_failed", error=repr(error))


@dataclass(frozen=True, slots=True)
class JetStreamDelivery:
    """``ports.Delivery`` on one message."""

    message: Msg
    entry: Entry
    attempt: int

    async def done(self) -> None:
        await _settle("done", self.message.ack())

    async def again(self, after_s: float) -> None:
        await _settle("again", self.message.nak(delay=after_s))

    async def still_working(self) -> None:
        await _settle("still_working", self.message.in_progress())


async def _settle(what: str, saying: Coroutine[Any, Any, None]) -> None:
    """A word that does not reach the server is no loss: the lease ends and the entry comes again."""
    try:
        await saying
    except (NatsError, TimeoutError) as error:
        log.info("settle_unheard", what=what, error=repr(error))


class JetStreamDeliveries:
    """``ports.Deliveries``: what the server has leased to this process."""

    def __init__(
        self, inbox: asyncio.Queue[Msg], js: JetStreamContext, stream: str, config: ConsumerConfig
    ) -> None:
        self._inbox = inbox
        self._js = js
        self._stream = stream
        self._config = config

    async def hears(self) -> bool:
        name = self._config.durable_name
        assert name is not None
        try:
            info = await _answered(lambda: self._js.consumer_info(self._stream, name))
        except NotFoundError:
            log.critical("queue_gone", queue=name, effect="made anew; what the log holds of it comes again")
            await self._make_anew()
            return False
        except (NatsError, TimeoutError) as error:
            log.warning("queue_not_asked", queue=name, error=repr(error))
            return False
        has_room = (info.num_ack_pending or 0) < (self._config.max_ack_pending or 1)
        return bool(info.push_bound) and not (info.num_pending and has_room)

    async def _make_anew(self) -> None:
        """Under the subject that we listen to. What fails is tried again when it is asked next."""
        try:
            with _cancellable():
                await self._js.add_consumer(self._stream, self._config)
        except (NatsError, TimeoutError) as error:
            log.warning("queue_retry", queue=self._config.durable_name, error=repr(error))

    async def take(self, limit: int) -> Sequence[Delivery]:
        messages = [await self._inbox.get()]
        while len(messages) < limit and not self._inbox.empty():
            messages.append(self._inbox.get_nowait())
        return [_delivery(message) for message in messages]


def _delivery(message: Msg) -> JetStreamDelivery:
    meta = message.metadata
    return JetStreamDelivery(
        message=message,
        entry=Entry(subject=message.subject, payload=message.data, sequence=meta.sequence.stream),
        attempt=meta.num_delivered or 1,
    )


class JetStreamBucket:
    """``ports.Bucket`` on a key-value bucket."""

    def __init__(self, client: Client, store: KeyValue, name: str) -> None:
        self._client = client
        self._store = store
        self._name = name

    async def put(self, key: str, value: bytes) -> int:
        try:
            with _cancellable():
                return await self._store.put(key, value)
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"bucket key {key}: {error!r}") from error

    async def delete(self, key: str) -> None:
        try:
            with _cancellable():
                await self._store.delete(key)
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"bucket key {key}: {error!r}") from error

    async def get(self, key: str) -> bytes | None:
        try:
            return (await _answered(lambda: self._store.get(key))).value
        except NotFoundError:
            return None
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"bucket key {key}: {error!r}") from error

    async def watch(self) -> AsyncIterator[Changed | None]:
        follower = Follower(self._client, f"KV_{self._name}", f"$KV.{self._name}.>", after=0, newest=True)
        async for messages in follower.batches():
            if not messages:
                yield None
            for message in messages:
                gone = (message.headers or {}).get("KV-Operation") in {KV_DEL, KV_PURGE}
                yield Changed(
                    key=message.subject.removeprefix(f"$KV.{self._name}."),
                    value=None if gone else message.data,
                    revision=message.metadata.sequence.stream,
                )


class JetStreamObjects:
    """``ports.Objects`` on an object store."""

    def __init__(self, js: JetStreamContext, bucket: str) -> None:
        self._js = js
        self._bucket = bucket

    async def put(self, name: str, value: bytes) -> None:
        async def put() -> None:
            await (await self._js.object_store(self._bucket)).put(name, value)

        try:
            await _answered(put)
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"object {name}: {error!r}") from error

    async def get(self, name: str) -> bytes | None:
        """Whoever reads one that is being written over waits for chunks that are gone: he asks again."""
        for patience_s in OBJECT_PATIENCE_S[:-1]:
            try:
                async with asyncio.timeout(patience_s):
                    return await self._get(name)
            except TimeoutError:
                log.info("object_again", object=name)
        try:
            async with asyncio.timeout(OBJECT_PATIENCE_S[-1]):
                return await self._get(name)
        except TimeoutError as error:
            raise LogUnavailable(f"object {name}: {error!r}") from error

    async def _get(self, name: str) -> bytes | None:
        async def get() -> bytes | None:
            return (await (await self._js.object_store(self._bucket)).get(name)).data

        try:
            return await _answered(get)
        except ObjectNotFoundError:
            return None
        except NatsError as error:
            raise LogUnavailable(f"object {name}: {error!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """Everything one process needs of the bus, on one connection."""

    client: Client
    log: JetStreamLog
    devices: JetStreamBucket
    orders: JetStreamBucket
    standings: JetStreamBucket
    incidents: JetStreamBucket
    signs: JetStreamBucket
    tallies: JetStreamBucket
    snapshots: JetStreamObjects


@asynccontextmanager
async def open_log(url: str, name: str) -> AsyncIterator[JetStreamLog]:
    """The log alone, for who looks and goes: nothing is made. Raises LogUnreachable."""
    problems: list[Exception] = []

    async def on_error(error: Exception) -> None:
        problems.append(error)

    try:
        async with asyncio.timeout(LOOK_TIMEOUT_S):  # the client's own patience is two minutes
            client = await nats.connect(url, name=name, allow_reconnect=False, error_cb=on_error)
    except (NatsError, OSError, TimeoutError) as error:
        why = problems[0] if problems else error
        raise LogUnreachable(f"{urlsplit(url).hostname}:{urlsplit(url).port}: {why!r}.") from error
    try:
        yield JetStreamLog(client)
    finally:
        await client.close()


@asynccontextmanager
async def open_bus(url: str, name: str) -> AsyncIterator[Bus]:
    """Connect, make what is missing, hand out the ports; drain at the end."""
    client = await connect(url, name)
    try:
        await prepare(client)
        js = client.jetstream()
        devices, orders, standings, incidents, signs, tallies = [
            JetStreamBucket(client, await _answered(partial(js.key_value, bucket)), bucket) for bucket in BUCKETS
        ]
        yield Bus(
            client=client,
            log=JetStreamLog(client),
            devices=devices,
            orders=orders,
            standings=standings,
            incidents=incidents,
            signs=signs,
            tallies=tallies,
            snapshots=JetStreamObjects(js, SNAPSHOTS),
        )
    finally:
        with contextlib.suppress(OSError):  # its goodbye finds no server
            await client.close()
