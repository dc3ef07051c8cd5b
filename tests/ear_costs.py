"""What does the ear cost a message? ``PYTHONPATH=tests .venv/bin/python tests/ear_costs.py``

Processor time of the reading and of both ways of agreeing, without the network and the log's client.
"""

from __future__ import annotations

import time

from builders import DEVICES, NOW_MS, WEARER, location
from builders import topic as topic_of

from audit.ear import Ear
from audit.ear_reading import due

MESSAGES = 100_000


def main() -> None:
    device, at = DEVICES[WEARER], topic_of()
    said = [location(seq=seq, batt=80) for seq in range(MESSAGES)]
    ear = Ear(NOW_MS - 1)
    began = time.process_time()
    for payload in said:
        ear.heard(due(at, "loc", payload, device, NOW_MS), NOW_MS)
    heard = time.process_time()
    for seq in range(MESSAGES):
        ear.rows([(device.number, 1, seq, NOW_MS)], NOW_MS)
    done = time.process_time()
    assert ear.waiting == 0
    hearing_us, reading_us = (heard - began) / MESSAGES * 1e6, (done - heard) / MESSAGES * 1e6
    print(f"heard {hearing_us:.1f} us, read on the log {reading_us:.1f} us a message")


if __name__ == "__main__":
    main()
