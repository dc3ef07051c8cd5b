"""How does a laboratory come up: a whole Tocsin, the people it tells, and the court that gives it measures?

Everything real (broker, log, database, processes, HTTP), everything on this machine, realm ``lab`` only. Used by
``demo``, ``replay``, ``bench road`` and the tests that kill processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from simulator.receiver import Receiver
from tocsin import __version__
from tocsin.clock import MS, AffineClock, rfc3339
from tocsin.errors import TocsinError
from tocsin.loopback import free_port
from tocsin.model.device import DeviceKind
from tocsin.settings import Settings, load
from tocsin.stack import Stack, Tell, running

ACTOR = "laboratoire"
REGISTER_AT_ONCE = 8
KNOWN_WITHIN_S = 30.0
LAB_ROOMS = ("CORG-99",)  # with an address of its own; CIC-99 is reached by way of the default one
CALLBACK = "+33199000000"
MEASURE_LASTS_MS = 60 * 24 * 3600 * MS
"""Measures of a laboratory end by themselves, and no story is so long that their end is near (ORDER_EXPIRING)."""


class LaboratoryError(TocsinError):
    """The laboratory does not behave:"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairWanted:
    """A measure to be registered; ``key`` is the caller's own name for it."""

    key: str
    wearer: str
    protected: str
    alert_distance_m: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Laboratory:
    """A running Tocsin with its surroundings."""

    stack: Stack
    settings: Settings
    receiver: Receiver
    api: httpx2.AsyncClient
    clock: AffineClock

    async def register(
        self,
        devices: Mapping[str, DeviceKind],
        pairs: Sequence[PairWanted],
        *,
        reports_every_s: Mapping[str, int] | None = None,
    ) -> tuple[dict[str, str], dict[str, str]]:
        """(device -> MQTT password, key of the pair -> measure id), once every part knows all of them.

        ``reports_every_s``: of the devices that obey no command, such as those for whom a gateway speaks.
        """
        every_s = reports_every_s or {}
        wanted = ((name, (kind, every_s.get(name))) for name, kind in devices.items())
        passwords = await self._each(wanted, self._register_device)
        measures = await self._each(((pair.key, pair) for pair in pairs), self._register_pair)
        await self.until_known(len(devices), len(pairs))
        return passwords, measures

    async def _each(
        self, things: Iterable[tuple[str, Any]], register: Callable[[str, Any], Any]
    ) -> dict[str, str]:
        found: dict[str, str] = {}
        for some in _batched(things, REGISTER_AT_ONCE):
            answers = await asyncio.gather(*(register(name, thing) for name, thing in some))
            found |= dict(zip((name for name, _ in some), answers, strict=True))
        return found

    async def _register_device(self, name: str, wanted: tuple[DeviceKind, int | None]) -> str:
        kind, every_s = wanted
        body = {"id": name, "kind": kind.value, "reports_every_s": every_s}
        answer = await self._post("/api/v1/devices", body)
        return str(answer["password"])

    async def _register_pair(self, _key: str, pair: PairWanted) -> str:
        now_ms = self.clock.now_ms()
        order = {
            "wearer": pair.wearer,
            "protected": pair.protected,
            "alert_distance_m": pair.alert_distance_m,
            "valid_from": rfc3339(now_ms - MEASURE_LASTS_MS),
            "valid_until": rfc3339(now_ms + MEASURE_LASTS_MS),
        }
        return str((await self._post("/api/v1/measures", order))["id"])

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        response = await self.api.post(path, json=body, headers={"Idempotency-Key": secrets.token_hex(16)})
        if not response.is_success:
            raise LaboratoryError(f"{path}: {response.status_code} {response.text}")
        answer: dict[str, Any] = response.json()
        return answer

    async def until_known(self, devices: int, pairs: int) -> None:
        """Wait until ingest knows the devices and the geofence the pairs. Raises LaboratoryError."""
        known: dict[str, float] = {}
        try:
            async with asyncio.timeout(KNOWN_WITHIN_S):
                while True:
                    known = await self.metrics()
                    readers = [known.get(f'tocsin_known_devices{{reader="{name}"}}', 0) for name in READERS]
                    paired = sum(
                        value for name, value in known.items() if name.startswith("tocsin_geofence_pairs{")
                    )
                    if min(readers) >= devices and paired >= pairs:
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            seen = {name: value for name, value in known.items() if "known_devices" in name or "pairs" in name}
            raise LaboratoryError(
                f"{devices} devices and {pairs} pairs are not known everywhere: {seen}"
            ) from None

    async def metrics(self) -> dict[str, float]:
        """Every sample of /metrics: ``name{label="value",…}`` with the labels in order -> value."""
        text = (await self.api.get("/metrics")).text
        return {
            _sample_name(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def total(self, name: str, **labels: str) -> int:
        """The sum of a counter over the samples whose labels begin like these."""
        wanted = [f'{key}="{value}' for key, value in labels.items()]
        samples = await self.metrics()
        return int(
            sum(
                value
                for key, value in samples.items()
                if key.startswith(name) and all(one in key for one in wanted)
            )
        )

    async def refusals(self) -> dict[str, int]:
        """Refused fixes by their reason."""
        marks = ('lane="fix"', 'outcome="refused_')
        found = {}
        for name, value in (await self.metrics()).items():
            if name.startswith("tocsin_ingest_messages_total") and all(mark in name for mark in marks):
                found[name.partition('outcome="refused_')[2].partition('"')[0]] = int(value)
        return found

    async def accounted(self) -> Accounted:
        """What became of every fix that reached ingest."""
        ingest = "tocsin_ingest_messages_total"
        archive = "tocsin_archived_fixes_total"
        return Accounted(
            archived=await self.total(archive, outcome="archived"),
            duplicate=await self.total(archive, outcome="duplicate")
            + await self.total(ingest, lane="fix", outcome="duplicate"),
            refused=await self.total(ingest, lane="fix", outcome="refused_"),
            sos_only=await self.total(ingest, lane="fix", outcome="sos_only"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounted:
    """Outcomes of fixes. ``sos_only``: a TGD's during its SOS, on the log and in no table."""

    archived: int
    duplicate: int
    refused: int
    sos_only: int

    @property
    def received(self) -> int:
        return self.archived + self.duplicate + self.refused + self.sos_only

    def lost_of(self, distinct: int) -> int:
        """Of so many different fixes that the broker acknowledged to their senders: repeats make up for none."""
        return max(0, distinct - self.archived - self.refused - self.sos_only)


READERS = ("fixes", "alarms-1", "alarms-2")


def _sample_name(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name


def _batched(things: Iterable[tuple[str, Any]], size: int) -> Iterable[Sequence[tuple[str, Any]]]:
    listed = list(things)
    return [listed[start : start + size] for start in range(0, len(listed), size)]


@contextlib.asynccontextmanager
async def laboratory(
    *, home: Path, tell: Tell, clock: AffineClock | None = None, **settings: object
) -> AsyncIterator[Laboratory]:
    """Everything up, told to nobody outside this machine. ``clock`` is set in every process."""
    clock = clock or AffineClock()
    secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
    async with Receiver(secret) as receiver:
        wanted: dict[str, object] = {
            "realm": "lab",
            "data_dir": home,
            "api_auth": "off",
            "api_port": free_port(),
            "clock_epoch_ms": clock.epoch_ms,
            "clock_anchor_ms": clock.anchor_ms,
            "clock_rate": clock.rate,
            "teleassistance_url": f"{receiver.url}/teleassistance",
            "teleassistance_secret": secret,
            "police_url": f"{receiver.url}/police",
            "police_secret": secret,
            "police_mode": "auto_preadvice",  # the whole road, without a human in the loop
            "police_rooms": {
                room: {"url": f"{receiver.url}/police/{room}", "secret": secret} for room in LAB_ROOMS
            },
            "callback_number": CALLBACK,
            **settings,
        }
        chosen = load(**wanted)
        async with (
            running(chosen, tell=tell) as stack,
            httpx2.AsyncClient(
                base_url=stack.addresses.api_url, headers={"Tocsin-Actor": ACTOR}, timeout=10.0, trust_env=False
            ) as api,
        ):
            yield Laboratory(stack=stack, settings=chosen, receiver=receiver, api=api, clock=clock)


def address_of(url: str) -> tuple[str, int]:
    """``mqtt://user:password@host:port`` -> (host, port)."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def report_head(command: str, seed: int, started_ms: int, duration_s: float) -> dict[str, Any]:
    """What every ``--json`` report begins with."""
    return {
        "command": command,
        "version": __version__,
        "seed": seed,
        "started_at": rfc3339(started_ms),
        "duration_s": round(duration_s, 3),
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "processor": _processor(),
            "python": platform.python_version(),
        },
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def latency_ms(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p99 and max in milliseconds; None of each when there is nothing to measure."""
    if not values:
        return {"p50": None, "p99": None, "max": None}
    p50, p99 = np.percentile(np.asarray(values, float), [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(float(max(values)), 2)}


def run_name() -> str:
    """A folder name for this run: the hour it began."""
    return datetime.fromtimestamp(AffineClock().wall_ms() / MS, UTC).strftime("%Y%m%dT%H%M%S")
