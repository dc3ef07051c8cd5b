"""Which numbers do the rules rest on, and why these?

DOMAIN section 3 gives most of them; how people move between two fixes was measured on tracks
(docs/adr/0019-distance-under-uncertainty.md). Accuracies are radii that hold 68 % of the errors.
Units in the names; milliseconds where hours are compared, seconds where a person would say seconds.
"""

from __future__ import annotations

from typing import Final

from tocsin.limits import ACCURACY_UNKNOWN_DM, R95_PER_R68

# --- may this fix be true?
IMPOSSIBLE_M_S: Final = 90.0  # nobody moves so fast on the ground: the fix is an event of quality, not of place
ROAD_M_S: Final = 40.0  # 144 km/h: a place reached faster is believed, a faster velocity is not carried on
POOR_DM: Final = (
    ACCURACY_UNKNOWN_DM  # 150 m lies between a place by Wi-Fi (median 74 m) and by mobile cell (600 m)
)
UNTOLD_ACCURACY_M: Final = 12.05  # a phone's GNSS in a town, 7 to 13 m; between two decimetres: nobody tells it
R95: Final = R95_PER_R68
LATE_MS: Final = 90_000  # an older fix is history and raises nothing
FORGET_MS: Final = 180_000  # 2.5 km at SILENT_M_S: no distance any more; a jump not confirmed by then is forgotten

# --- where is he between two fixes?
TURN_S: Final = 120.0  # how long a person keeps a velocity (correlation time), measured
STILL_AT_60_S_M: Final = 75.0  # 1 sigma, 60 s later, of somebody who stood still; grows with the power 1.5 of time
VELOCITY_SIGMAS: Final = 2.0  # a velocity counts only as far as it exceeds so many sigmas of its own error

# --- is the distance inside?
Z_FIX: Final = 1.0  # sigmas of unobserved movement held against a distance when a fix decides ...
Z_CLOCK: Final = 2.0  # ... and when only time has passed
FRESH_MS: Final = (
    30_000  # the domain's age for evidence: with both fixes so young nothing is held against an entry
)
CAP: Final = 0.5  # of the ring: expected within half of it, no doubt holds the alert back
HOLD_MS: Final = (
    10_000  # an unbelieved fix inside is a low-confidence alert after this, or one interval if shorter
)

# --- is anybody silent?
OVERDUE_INTERVALS: Final = 1.5  # one report was lost ...
OVERDUE_MS: Final = 5_000  # ... and the latency that 95 % of the messages keep
SILENT_M_S: Final = 14.0  # plausible speed of somebody who is silent: 50 km/h
WORST_M_S: Final = 36.0  # 130 km/h: orders the queue of the silent
SLACK_SIGMAS: Final = 2.0  # of the unobserved movement of whoever is not overdue, in the bounds of the distance
DEGRADED_AFTER_MS: Final = 60_000  # UNCERTAIN, or overdue, for so long
LOSS_INTERVALS: Final = 3  # W_COMMS_LOSS, W_GNSS_LOSS, V_COMMS_LOSS: nothing for 3 T

# --- has he left?
EXIT_MARGIN_M: Final = 100.0
EXIT_FIXES: Final = 2
EXIT_MS: Final = 60_000

# --- imminent, evidential
IMMINENT_MS: Final = 120_000
IMMINENT_END_MS: Final = 180_000
CLOSING_MIN_M_S: Final = 0.5  # below it nobody is approaching anybody
EVIDENCE_FIXES: Final = 2

# --- how often are the devices to report?
FAR_S: Final = 60
NEAR_S: Final = 30
PREALERT_S: Final = 10
ALERT_S: Final = 5
FAR_DISTANCES: Final = 4.0  # farther than so many alert distances: FAR_S
NEAR_DISTANCES: Final = 2.0  # farther than so many: NEAR_S, and nearer PREALERT_S
SETTLED_MS: Final = 120_000  # an alert that has stood for so long asks for PREALERT_S
RELAX_FACTOR: Final = 1.1  # a longer interval only beyond so many times its bound ...
RELAX_MS: Final = 60_000  # ... for so long
COMMAND_EXPIRES_MS: Final = 60_000  # a unit that was away longer is told again when it is heard

# --- has a group fallen silent together? (docs/adr/0028-the-silence-of-a-fleet.md)
MISSED_GRACE_MS: Final = 10_000  # what a report may be late; twice OVERDUE_MS: the slowest of many, and not of one
MISSED_LEAST_S: Final = 30  # who reports each 5 s and is not heard for 15 is in a tunnel, and no sign of an outage
SILENT_INTERVALS: Final = LOSS_INTERVALS  # DOMAIN 4, SYS_FLEET_SILENCE
SILENT_COUNT: Final = 5  # more than so many ...
SILENT_SHARE: Final = 0.02  # ... and than this share of those that should speak
GONE_MS: Final = 3_600_000  # silent for longer: a loss of its own, told long ago, and nobody that should speak now
GONE_INTERVALS: Final = 4  # the same of a device that reports less often than each quarter of an hour
FALSE_A_YEAR: Final = 0.1  # of the early rule, over all groups, if losses are independent
YEAR_S: Final = 31_557_600.0
LOSS_OVER_S: Final = 3_600.0  # over how long the share of missed reports is averaged
LOSS_LEAST: Final = 0.02  # an hour without a loss is luck
LOSS_MOST: Final = 0.3  # beyond it silence is not ordinary life, however long it has lasted
LOSS_AT_FIRST: Final = 0.05  # until it has been measured
CALM_SHARE: Final = 0.1  # units that do not come back by themselves must not keep an incident open for days
CALM_MOST: Final = 1 / 3  # of a small group: with more of it silent nothing is over
CALM_MS: Final = 120_000  # two intervals: everybody who speaks again has been heard once, and once more
DEAF_MS: Final = 10_000  # a watch that did not look, or could not read, for so long cannot say who was silent

assert HOLD_MS < FORGET_MS
assert LATE_MS < FORGET_MS
assert ALERT_S < PREALERT_S < NEAR_S < FAR_S
