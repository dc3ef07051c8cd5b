"""Which numbers do the rules rest on, and why these?

DOMAIN section 3 gives most of them; how people move between two fixes was measured on tracks
(docs/adr/0019-distance-under-uncertainty.md). Accuracies are radii that hold 68 % of the errors.
Units in the names; milliseconds where hours are compared, seconds where a person would say seconds.
"""

from __future__ import annotations

from typing import Final

from tocsin.limits import ACCURACY_UNKNOWN_DM, R95_PER_R68, STRAGGLER_MAX_S

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

# --- what do fixes that came late prove? (docs/adr/0026-incursions-of-the-past.md)
LATE_FROM_MS: Final = 1_000 * STRAGGLER_MAX_S  # what came later than this, the live rules may have passed over
REACH_MS: Final = 4 * FORGET_MS  # how far in time one fix can change what is believed of those around it
VISIT_SLACK_MS: Final = FRESH_MS  # the live alert and its hour in hindsight may differ by one fix
PAST_SETTLES_MS: Final = FORGET_MS + LATE_FROM_MS + 10_000  # then whoever reports in time has been heard
PAST_QUIET_MS: Final = 10_000  # a reconnecting unit says all it has in messages close upon each other ...
PAST_WAITS_MS: Final = 300_000  # ... and who never ends is not waited for any longer
PAST_WIDEST_MS: Final = 86_400_000  # an incursion is followed so far beyond the fixes that showed it

assert HOLD_MS < FORGET_MS
assert LATE_FROM_MS <= LATE_MS < FORGET_MS
assert ALERT_S < PREALERT_S < NEAR_S < FAR_S
