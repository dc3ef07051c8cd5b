"""Which numbers do the rules of ``interval`` rest on, and why these?

Metres, seconds, metres a second; accuracies are radii that hold 68 % of the errors. The form of the rules and most
of the numbers come from the domain or from how people move between two fixes. Z_FIX, Z_CLOCK, STILL_AT_60_S_M,
FRESH_S and CAP were settled with the score on one set of traces in view: on other people expect somewhat less.
"""

from __future__ import annotations

from typing import Final

# --- may this fix be true?
IMPOSSIBLE_M_S: Final = 90.0  # nobody moves so fast on the ground: the fix is an event of quality, not of place
ROAD_M_S: Final = 40.0  # 144 km/h: a place reached faster is believed, a faster velocity is not carried on
POOR_M: Final = 150.0  # between a place by Wi-Fi (median 74 m) and one by mobile cell (600 m)
UNTOLD_ACCURACY_M: Final = 12.0  # a phone's GNSS in a town: 7 to 13 m
R95: Final = 1.62  # 95 % over 68 % radius of a circular normal error: 2.448 / 1.515
LATE_S: Final = 90.0  # an older fix is history and raises nothing
FORGET_S: Final = 180.0  # 2.5 km at SILENT_M_S: no distance any more; a jump not confirmed by then is forgotten

# --- where is he between two fixes?
TURN_S: Final = 120.0  # how long a person keeps a velocity (correlation time), measured on tracks
STILL_AT_60_S_M: Final = 75.0  # 1 sigma, 60 s later, of somebody who stood still; grows with the power 1.5 of time
VELOCITY_SIGMAS: Final = 2.0  # a velocity counts only as far as it exceeds so many sigmas of its own error

# --- is the distance inside?
Z_FIX: Final = 1.0  # sigmas of unobserved movement held against a distance when a fix decides ...
Z_CLOCK: Final = 2.0  # ... and when only time has passed
FRESH_S: Final = 30.0  # the domain's age for evidence: with both fixes so young nothing is held against an entry
CAP: Final = 0.5  # of the ring: expected within half of it, no doubt holds the alert back
HOLD_S: Final = 10.0  # a jump inside becomes a low-confidence alert after this, or one interval if that is shorter

# --- is anybody silent?
OVERDUE_INTERVALS: Final = 1.5  # one report was lost ...
OVERDUE_S: Final = 5.0  # ... and the latency that 95 % of the messages keep
SILENT_M_S: Final = 14.0  # plausible speed of somebody who is silent
D_LB_SIGMAS: Final = 2.0  # of the unobserved movement of whoever is not overdue, in the lower bound
DEGRADED_AFTER_S: Final = 60.0  # UNCERTAIN for so long is DEGRADED

# --- has he left?
EXIT_MARGIN_M: Final = 100.0
EXIT_FIXES: Final = 2
EXIT_S: Final = 60.0

# --- imminent, evidential
IMMINENT_S: Final = 120.0
IMMINENT_END_S: Final = 180.0
CLOSING_MIN_M_S: Final = 0.5  # below it nobody is approaching anybody
EVIDENCE_AGE_S: Final = 30.0
EVIDENCE_FIXES: Final = 2

# --- how often are the devices to report?
BANDS: Final = ((4.0, 60), (2.0, 30))  # farther than so many alert distances: every so many seconds
NEAR_INTERVAL_S: Final = 10  # nearer than every band, and inside the pre-alert ring
ALERT_INTERVAL_S: Final = 5
IMMINENT_INTERVAL_S: Final = 5
SETTLED_S: Final = 300.0  # an alert older than this asks for NEAR_INTERVAL_S
RELAX_FACTOR: Final = 1.1  # a longer interval only beyond so many times its bound ...
RELAX_S: Final = 60.0  # ... for so long
