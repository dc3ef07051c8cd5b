"""What did the judge order, and is that an order that can be carried out?

In the API an order is a *measure*. Distances: CPP R24-18 (DOMAIN section 1).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tocsin.clock import rfc3339
from tocsin.limits import (
    ALERT_DISTANCE_MAX_M,
    ALERT_DISTANCE_MIN_M,
    ALERT_DISTANCE_STEP_M,
    PREALERT_FACTOR,
)
from tocsin.model.device import Device, DeviceKind
from tocsin.model.geozone import Authorisation, GeoZone
from tocsin.model.geozone_problems import problems_of_authorisation, problems_of_zones
from tocsin.model.ids import RESERVED_NAMES, is_device_id
from tocsin.model.problem import Problem


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A measure: one wearer kept away from one protected person.

    ``alert_distance_m`` is a whole number of kilometres in metres; the pre-alert distance follows from it.
    In force during ``[valid_from_ms, valid_until_ms)``. ``version`` starts at 1 and counts changes. ``zones``:
    fixed places; ``authorised``: hours at which nearness is recorded and not reported.
    """

    id: str
    version: int
    wearer: str
    protected: str
    alert_distance_m: int
    valid_from_ms: int
    valid_until_ms: int
    zones: tuple[GeoZone, ...] = ()
    authorised: Authorisation | None = None

    @property
    def prealert_distance_m(self) -> int:
        return PREALERT_FACTOR * self.alert_distance_m

    def in_force(self, at_ms: int) -> bool:
        return self.valid_from_ms <= at_ms < self.valid_until_ms


def problems_of(order: Order, devices: Mapping[str, Device]) -> list[Problem]:
    """Every reason at once why ``order`` cannot be carried out; empty when it can.

    ``devices`` are the known devices by id.
    """
    return [
        *_distance_problems(order.alert_distance_m),
        *_period_problems(order),
        *_device_problems("wearer", order.wearer, DeviceKind.WEARER, devices),
        *_device_problems("protected", order.protected, DeviceKind.PROTECTED, devices),
        *_same_device_problems(order),
        *problems_of_zones(order.zones),
        *problems_of_authorisation(order.authorised, order.alert_distance_m),
    ]


def problems_of_name(device_id: str) -> list[Problem]:
    """Why no device can be called so; empty when one can."""
    if is_device_id(device_id):
        return []
    if device_id in RESERVED_NAMES:
        detail = f"{device_id!r} is reserved: it is a login of the services"
        return [Problem(pointer="/id", code="device-id-reserved", detail=detail)]
    detail = f"{device_id!r} is not 3 to 32 of a-z, 0-9 and -, beginning with a letter or digit"
    return [Problem(pointer="/id", code="device-id", detail=detail)]


def _distance_problems(distance_m: int) -> list[Problem]:
    whole = distance_m % ALERT_DISTANCE_STEP_M == 0
    if whole and ALERT_DISTANCE_MIN_M <= distance_m <= ALERT_DISTANCE_MAX_M:
        return []
    return [
        Problem(
            pointer="/alert_distance_m",
            code="alert-distance",
            detail=f"{distance_m} m is not a whole number of kilometres from 1 to 10 (CPP R24-18)",
        )
    ]


def _period_problems(order: Order) -> list[Problem]:
    if order.valid_from_ms < order.valid_until_ms:
        return []
    return [
        Problem(
            pointer="/valid_until",
            code="period",
            detail=f"ends at {rfc3339(order.valid_until_ms)}, not after its start {rfc3339(order.valid_from_ms)}",
        )
    ]


def _device_problems(role: str, device_id: str, kind: DeviceKind, devices: Mapping[str, Device]) -> list[Problem]:
    device = devices.get(device_id)
    if device is None:
        return [Problem(pointer=f"/{role}", code="unknown-device", detail=f"no device is named {device_id!r}")]
    if device.revoked_ms is not None:
        detail = f"{device_id} was revoked at {rfc3339(device.revoked_ms)}"
        return [Problem(pointer=f"/{role}", code="device-revoked", detail=detail)]
    if device.kind is not kind:
        return [
            Problem(
                pointer=f"/{role}",
                code="device-kind",
                detail=f"{device_id} is a {device.kind.value}, a {kind.value} is needed here",
            )
        ]
    return []


def _same_device_problems(order: Order) -> list[Problem]:
    if order.wearer != order.protected:
        return []
    return [
        Problem(pointer="/protected", code="same-device", detail="the same device is on both sides of the measure")
    ]
