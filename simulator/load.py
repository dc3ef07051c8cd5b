"""The load generator of ``bench road``: a process of its own, so that its work is not counted as Tocsin's.

``python -m simulator.load`` speaks for all devices through one gateway at a steady rate. The background pairs
stand far apart and move a little; the story pair is let in and out of the alert distance again and again (in, out,
out: an exit needs two fixes), so that one run gives many alerts. Prints one JSON object at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json

import uvloop

from simulator.gateway import Gateway
from tocsin.clock import MS, AffineClock

TICK_S = 0.01
STORY_EVERY_S = 0.1
NORTH_PER_M = 1 / 111_200.0
HOME = (43.2965, 5.3698)
INSIDE_M, OUTSIDE_M = 800.0, 1_500.0
STORY = (INSIDE_M, OUTSIDE_M, OUTSIDE_M)
WEARER, PROTECTED = "story-w", "story-p"


def background_device(index: int) -> str:
    """Even: a wearer; odd: the protected person of the same pair."""
    return f"load-{'wp'[index % 2]}-{index // 2:05d}"


def _payload(lat: float, lon: float, seq: int, now_ms: int) -> bytes:
    second, ms = divmod(now_ms, MS)
    return (
        f'{{"_type":"location","lat":{lat:.6f},"lon":{lon:.6f},"tst":{second},"ms":{ms},"created_at":{second},'
        f'"created_ms":{ms},"acc":10.0,"vel":3.5,"batt":80,"src":"gnss","seq":{seq},"boot":1}}'
    ).encode()


async def run(url: str, *, rate: int, seconds: float, pairs: int) -> dict[str, int]:
    """Speak for ``seconds`` at ``rate`` messages a second; returns what was offered and what was acknowledged."""
    clock = AffineClock()
    loop = asyncio.get_running_loop()
    async with Gateway(url, client_id="load-gateway", window=2000) as gateway:
        await gateway.publish(PROTECTED, "loc", _payload(*HOME, 0, clock.now_ms()))
        start = loop.time()
        sent = story = 0
        while (elapsed := loop.time() - start) < seconds:
            if story < elapsed / STORY_EVERY_S:  # one at a time: two places in one millisecond are a repeat
                lat = HOME[0] + STORY[story % len(STORY)] * NORTH_PER_M
                await gateway.publish(WEARER, "loc", _payload(lat, HOME[1], story, clock.now_ms()))
                story += 1
            while sent + story < elapsed * rate:
                index = sent % (2 * pairs)
                lat = HOME[0] + (index % 2) * 0.5 + (sent % 97) * NORTH_PER_M
                lon = HOME[1] + (index // 2) * 1e-4
                await gateway.publish(
                    background_device(index), "loc", _payload(lat, lon, sent // (2 * pairs), clock.now_ms())
                )
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
    given = parser.parse_args()
    print(json.dumps(uvloop.run(run(given.url, rate=given.rate, seconds=given.seconds, pairs=given.pairs))))


if __name__ == "__main__":
    main()
