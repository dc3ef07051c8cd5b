"""The load generator of ``bench road``: a process of its own, so that its work is not counted as Tocsin's.

``python -m simulator.load`` speaks for all devices through one gateway at a steady rate. The background pairs
stand far apart and move a little; the story pair is let in and out of the alert distance again and again (in, out,
out: an exit needs two fixes), so that one run gives many alerts. He is moved ten times a second and his fixes are
coarse: the way between two of them is within their accuracies, so that none is implausible, and no velocity is
believed that would let the clock raise what a fix has to. Prints one JSON object at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json

import uvloop

from simulator.gateway import Gateway
from tocsin.clock import MS, AffineClock
from tocsin.limits import REPORTS_EVERY_MAX_S

TICK_S = 0.01
STORY_EVERY_S = 0.1
NORTH_PER_M = 1 / 111_200.0
HOME = (43.2965, 5.3698)
INSIDE_M, OUTSIDE_M = 980.0, 1_105.0  # of 1,000 m, and of the exit at 1,100 m
STORY = (INSIDE_M, OUTSIDE_M, OUTSIDE_M)
STORY_ACCURACY_M = 40.0
STEP_M = 0.3  # of the background: up to 29 m, which is within the accuracies at any rate
FLEET_EVERY_S = 30  # told of the background, which may be more often: the end of a load is no fleet gone silent
WEARER, PROTECTED = "story-w", "story-p"

AT_HOME_EVERY = 10 * len(STORY)
"""She says where she is with the last fix of every tenth round, every 3 s."""


def background_device(index: int) -> str:
    """Even: a wearer; odd: the protected person of the same pair."""
    return f"load-{'wp'[index % 2]}-{index // 2:05d}"


def reports_every_s(pairs: int, rate: int) -> dict[str, int]:
    """How often each device speaks, for its registration: none of them hears a command."""
    every_s = min(REPORTS_EVERY_MAX_S, max(FLEET_EVERY_S, -(-2 * pairs // rate)))
    background = {background_device(index): every_s for index in range(2 * pairs)}
    return {**background, WEARER: FLEET_EVERY_S, PROTECTED: FLEET_EVERY_S}


def _payload(lat: float, lon: float, seq: int, now_ms: int, boot: int, accuracy_m: float = 10.0) -> bytes:
    second, ms = divmod(now_ms, MS)
    return (
        f'{{"_type":"location","lat":{lat:.6f},"lon":{lon:.6f},"tst":{second},"ms":{ms},"created_at":{second},'
        f'"created_ms":{ms},"acc":{accuracy_m},"vel":3.5,"batt":80,"src":"gnss","seq":{seq},"boot":{boot}}}'
    ).encode()


async def run(url: str, *, rate: int, seconds: float, pairs: int, boot: int = 1) -> dict[str, int]:
    """Speak for ``seconds`` at ``rate`` messages a second; returns what was offered and what was acknowledged."""
    clock = AffineClock()
    loop = asyncio.get_running_loop()
    async with Gateway(url, client_id="load-gateway", window=2000) as gateway:
        await gateway.publish(PROTECTED, "loc", _payload(*HOME, 0, clock.now_ms(), boot))
        start = loop.time()
        sent = story = at_home = 0
        while (elapsed := loop.time() - start) < seconds:
            if story < elapsed / STORY_EVERY_S:  # one at a time: two places in one millisecond are a repeat
                if story % AT_HOME_EVERY == AT_HOME_EVERY - 1:  # while he is outside: at her hour he was there
                    at_home += 1
                    await gateway.publish(PROTECTED, "loc", _payload(*HOME, at_home, clock.now_ms(), boot))
                lat = HOME[0] + STORY[story % len(STORY)] * NORTH_PER_M
                said = _payload(lat, HOME[1], story, clock.now_ms(), boot, STORY_ACCURACY_M)
                await gateway.publish(WEARER, "loc", said)
                story += 1
            while sent + story + at_home < elapsed * rate:
                index = sent % (2 * pairs)
                lat = HOME[0] + (index % 2) * 0.5 + (sent % 97) * STEP_M * NORTH_PER_M
                lon = HOME[1] + (index // 2) * 1e-4
                said = _payload(lat, lon, sent // (2 * pairs), clock.now_ms(), boot)
                await gateway.publish(background_device(index), "loc", said)
                sent += 1
            await asyncio.sleep(TICK_S)
        await gateway.drained()
        return {
            "offered": gateway.published,
            "acknowledged": gateway.acknowledged,
            "passes": -(-story // len(STORY)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulator.load", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--boot", type=int, default=1, help="another one for each run: fixes are numbered anew")
    given = parser.parse_args()
    load = run(given.url, rate=given.rate, seconds=given.seconds, pairs=given.pairs, boot=given.boot)
    print(json.dumps(uvloop.run(load)))


if __name__ == "__main__":
    main()
