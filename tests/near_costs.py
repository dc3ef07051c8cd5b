"""What does the law *near* cost? ``PYTHONPATH=tests .venv/bin/python tests/near_costs.py``

A minute of 2,000 fixes a second in batches of ten, of 10,000 pairs of which none is near; a look each 2 s.
Processor time of decoding, keeping and looking, without the log's client.
"""

from __future__ import annotations

import time

import msgspec
import numpy as np
from builders import DEVICES, LAT, LON, NOW_MS, PROTECTED, WEARER

from audit.laws.near import Near
from tocsin.model.fix import FIX_DTYPE, Fixes, Source
from tocsin.model.order import Order
from tocsin.wire import decode_fixes, encode_fixes

PAIRS = 10_000
A_SECOND, BATCH, SECONDS, LOOK_S = 2_000, 10, 60, 2
DAY_MS = 86_400_000


def watching() -> Near:
    near = Near()
    for pair in range(PAIRS):
        wearer, protected = f"w{pair}", f"v{pair}"
        near.device(wearer, msgspec.structs.replace(DEVICES[WEARER], id=wearer, number=2 * pair + 1))
        near.device(protected, msgspec.structs.replace(DEVICES[PROTECTED], id=protected, number=2 * pair + 2))
        order = Order(
            id=f"msr_{pair}", version=1, wearer=wearer, protected=protected, alert_distance_m=1000,
            valid_from_ms=NOW_MS - DAY_MS, valid_until_ms=NOW_MS + DAY_MS,
        )  # fmt: skip
        near.order(order.id, order, NOW_MS - DAY_MS)
    return near


def of_second(second: int) -> Fixes:
    """Units in turn, each where it was: his 10 km north of hers."""
    numbers = (np.arange(A_SECOND) + second * A_SECOND) % (2 * PAIRS) + 1
    rows = np.zeros(A_SECOND, FIX_DTYPE)
    rows["device"], rows["source"], rows["accuracy_dm"] = numbers, Source.GNSS, 80
    rows["lat_e6"] = round(LAT * 1e6) + np.where(numbers % 2 == 1, 90_000, 0)
    rows["lon_e6"] = round(LON * 1e6)
    rows["fix_ms"] = rows["t3_ms"] = NOW_MS + second * 1000
    return rows


def main() -> None:
    near = watching()
    began = time.process_time()
    assert not near.differences(NOW_MS)
    laid_out = time.process_time() - began
    batches = [
        encode_fixes(part) for second in range(SECONDS) for part in np.split(of_second(second), A_SECOND // BATCH)
    ]
    looks = reading = 0.0
    for number, batch in enumerate(batches):
        began = time.process_time()
        near.fixes(decode_fixes(batch))
        reading += time.process_time() - began
        done = number + 1
        if done % (A_SECOND // BATCH * LOOK_S) == 0:
            began = time.process_time()
            assert not near.differences(NOW_MS + done * BATCH * 1000 // A_SECOND)
            looks += time.process_time() - began
    print(
        f"laid out {1000 * laid_out:.0f} ms, a look {1000 * looks * LOOK_S / SECONDS:.1f} ms, "
        f"reading {1000 * reading * LOOK_S / SECONDS:.1f} ms in between: "
        f"{100 * (looks + reading) / SECONDS:.1f} % of a core"
    )


if __name__ == "__main__":
    main()
