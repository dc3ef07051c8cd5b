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

LEAST_INTERVAL_S: Final = (
    4  # a unit that reports more often is judged by this: nobody is lost before he is overdue
)

# --- has he left?
EXIT_MARGIN_M: Final = 100.0
EXIT_FIXES: Final = 2
EXIT_MS: Final = 60_000

# --- a way through a zone between two fixes outside it
WAY_MAX_MS: Final = 90_000  # one report of 60 s lost; beyond, a straight line is no evidence of where he was
WINDING: Final = ((10_000, 0.92), (30_000, 0.84), (60_000, 0.77), (WAY_MAX_MS, 0.70))
# displacement over way, measured: gaps up to so many milliseconds (ADR 19); beyond 60 s that of 120 s

# --- imminent, evidential
IMMINENT_MS: Final = 120_000
IMMINENT_END_MS: Final = 180_000
CLOSING_MIN_M_S: Final = 0.5  # below it nobody is approaching anybody
EVIDENCE_FIXES: Final = 2
COURSE_M: Final = (
    100.0  # a way that is no scatter of good fixes: he has come so much nearer, or gone, as at an exit
)

# --- who approached?
LEG_MAX_MS: Final = (
    1_800_000  # from one ring to the next: 2.5 km on foot, 20 km by car in a town; older is another day
)
ATTRIBUTED_MIN_M: Final = 25  # both together; less is a step or two, and a share of it says nothing

CLEAR_SHARE: Final = 0.1  # of a leg, that its noise may be; a share is then right to some 10 %

# --- is he looking for her?
SIDE_DEG: Final = 25  # crossings nearer together than this are one road; the error of a place found from two grows
# with 1 / sin of the angle between them, 2.4 times here
TURNED_BACK_DEG: Final = 45  # less of the ring is an eighth: a way that cuts it off leads 8 % deep, or back
PROBING_SIDES: Final = 3  # circles about two crossings meet in two places, about three in one: hers
PROBING_MS: Final = 7 * 86_400_000  # a week has all that people do every week; as long without it ends a spell
CROSSINGS_MAX: Final = 12  # remembered of one pair, the oldest forgotten

# --- until when may the call to the wearer wait?
CALL_WAIT_MAX_MS: Final = 600_000  # an operator cannot be asked to remember it for longer
CALL_LEFT_MS: Final = (
    150_000  # must be left to the alert distance: IMMINENT takes over 120 s before it, and 30 s to ring
)
CALL_SPEED_M_S: Final = 2.0  # he counts as at least so fast, a brisk walk: nobody is trusted to stand still

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
LOCATE_EXPIRES_MS: Final = 20_000  # a place that was asked for half a minute ago answers another question

# --- what is wrong with a device?
LINK_LOST_S: Final = 60  # SEPARATION: a unit that has not heard its tag, or not told of it, for so long
BLIND_SOON_MS: Final = 30 * 60_000  # a tamper or a separation with a shorter time to blind risk is P1
BATTERY_LOW_PCT: Final = 25
BATTERY_CRITICAL_PCT: Final = 10
BATTERY_MARGIN_PCT: Final = 5  # above it by so much it is over: a reading wavers by one or two
STRAYS: Final = 2  # SPOOF_SUSPECTED: one wrong place in the operator's list of cells is common

# --- is the unit itself to be believed, over time? (ADR 29)
MOVING_CMS: Final = (
    100  # says that it moves: above what the Doppler speed of a receiver at rest says, 0.1 to 0.3 m/s
)
FROZEN_REPEATS: Final = 2  # the same place to the microdegree so often, each time on the move: within 3 intervals
FROZEN_AT_REST_MS: Final = (
    12 * 3_600_000
)  # place and accuracy to the last digit without a word of movement: a receiver
# that holds its place at rest does this for a night, none computes 720 fixes alike
YIELD_PART_MS: Final = 600_000  # three such parts are the window of 30 min ...
YIELD_PARTS: Final = 3
YIELD_EXPECTED_MIN: Final = 15.0  # ... of which a quarter of an hour at 60 s must be expected to say anything
YIELD_LOW: Final = 0.6  # F15 had 45 %; 3 % lost of 30 never comes near it
YIELD_GOOD: Final = 0.8
NOT_CARRIED_MS: Final = 8 * 3_600_000  # waking hours, by the domain
WAKES_H: Final = 7
WAKES_UNTIL_H: Final = 23
STILL_M: Final = 50.0  # what a receiver on a table wanders by indoors, where its accuracy claims less
UNWATCHED_MS: Final = 180_000  # of a longer pause of the engine nobody knows whether the unit was still
SKEW_MS: Final = 5_000  # the domain's bound for a clock
SKEW_STEADY_MS: Final = 2_000  # a wrong clock is wrong by the same; what waited in a queue is late by ever less
SKEW_FIXES: Final = 3  # running, to begin and to end

# --- what do fixes that came late prove? (docs/adr/0026-incursions-of-the-past.md)
LATE_FROM_MS: Final = 1_000 * STRAGGLER_MAX_S  # what came later than this, the live rules may have passed over
REACH_MS: Final = 4 * FORGET_MS  # how far in time one fix can change what is believed of those around it
VISIT_SLACK_MS: Final = FRESH_MS  # the live alert and its hour in hindsight may differ by one fix
PAST_SETTLES_MS: Final = FORGET_MS + LATE_FROM_MS + 10_000  # then whoever reports in time has been heard
PAST_QUIET_MS: Final = 10_000  # a reconnecting unit says all it has in messages close upon each other ...
PAST_WAITS_MS: Final = 300_000  # ... and who never ends is not waited for any longer
PAST_WIDEST_MS: Final = 86_400_000  # an incursion is followed so far beyond the fixes that showed it

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
assert LOSS_INTERVALS * LEAST_INTERVAL_S * 1_000 > OVERDUE_INTERVALS * LEAST_INTERVAL_S * 1_000 + OVERDUE_MS
assert LATE_MS < FORGET_MS
assert LATE_FROM_MS <= LATE_MS < FORGET_MS
assert ALERT_S < PREALERT_S < NEAR_S < FAR_S
