"""Every bound in one place, each derived in sight; assertions tie them together.

Bounds that an operator may change are settings; these are the ones that the code relies on.
Units are in the names.
"""

from __future__ import annotations

# --- what a device may say -------------------------------------------------------------------------------
PAYLOAD_MAX_BYTES = 64 * 1024  # 60 buffered fixes are 2.2 kB; a bulk of an hour at 5 s is 26 kB
BROKER_PAYLOAD_MAX_BYTES = 16 * 1024 * 1024  # above ours, so that ingest sees the oversize and can count it
BULK_POINTS_MAX = 720  # one hour of fixes at the shortest interval, 5 s
FIX_FUTURE_MAX_S = 300  # clocks drift; five minutes ahead is no longer drift
FIX_PAST_MAX_S = 30 * 86_400  # a unit found in a drawer; older is a wrong clock
LATE_AFTER_S = 120  # two intervals of the slowest band (60 s): a fix older than this is history, not news
SEQ_WINDOW = 64  # how far back a repeated sequence number is recognised per device (one machine word)

REPORTS_EVERY_MAX_S = 3_600  # the longest interval of a device that takes no orders about it; a unit's, too
PRESENCE_EVERY_S = 5  # the shortest interval of a fix: who speaks without a place is heard no more often

SIGN_EVERY_S = 900  # of a TGD: what was heard since the last sign is not written; 6,565 phones are 7 a second
BATTERY_LOW_PCT = 25  # DOMAIN 4
BATTERY_WELL_PCT = 30  # as W_BATT_LOW ends
LISTENING_GAP_MAX_S = 300  # a restart, or a connection that was cut: the broker keeps what came for a session
PAIR_SHAKY_S = 20  # a tag is heard every few seconds: a unit that has not heard it for so long may be losing it

# --- batches between ingest and the log ------------------------------------------------------------------
BATCH_LINGER_MS = 5  # what a fix may wait for company: 2 % of the 250 ms P1 median budget
BATCH_MAX_FIXES = 1000  # where a batch stops getting cheaper per fix
BROKER_INFLIGHT_MAX = (
    10_000  # what the broker hands out unacknowledged: 10 s of fixes at 1,000/s, the bound of ingest's memory
)
REFUSED_KEPT_PER_BATCH = 50  # a flood of rubbish is counted whole and kept in part
REFUSED_HEAD_BYTES = 512
REFUSED_KEPT_MAX = 20_000  # notes of about 1 kB: a third of the stream's bytes; the oldest give way
UNNUMBERED_KEPT = 64  # seconds of a device without numbers in which its fixes are told apart, as SEQ_WINDOW
UNNUMBERED_A_SECOND_MAX = 16  # GNSS receivers measure 1 to 10 times a second

# --- what became of orders -------------------------------------------------------------------------------
RESULTS_KEPT_MAX = 400_000  # of 300 bytes: 128 MiB. An order has three or four; the oldest give way
RESULT_DETAIL_MAX_CHARS = 200  # of a unit's own words: counted, never kept
RESULTS_A_MINUTE_MAX = 60  # of one unit: an answer each second. A unit that repeats itself evicts nobody's
RESULTS_PARALLEL_MAX = 20_000  # orders whose answer is awaited: a second's worth for every unit that there is

# --- the history ----------------------------------------------------------------------------------------
READ_DAYS_MAX = 31  # of positions in one read; refused beyond (tocsin.track): nobody reads a life at once
READ_ROWS_MAX = 10_000  # a week of one device at 60 s
FIXES_KEPT_DAYS = 2 * 366 + 31 + 5 * 366 + 11 * 31  # R631-11: a measure of two years, a month, 5 years 11 months
FIXES_KEPT_MIN_DAYS = 32  # a fix may be FIX_PAST_MAX_S old when it comes, and its day must not be gone
COMPACT_AFTER_DAYS = 2  # when almost everything that is late has come

# --- pairs -----------------------------------------------------------------------------------------------
ALERT_DISTANCE_MIN_M = 1_000  # CPP R24-18: a whole number of kilometres, 1 to 10
ALERT_DISTANCE_MAX_M = 10_000
ALERT_DISTANCE_STEP_M = 1_000
PREALERT_FACTOR = 2  # CPP R24-18: the pre-alert distance is exactly twice the alert distance
EXIT_MARGIN_M = 100  # DOMAIN 3, EXIT: d_A + max(100 m, r)
EXIT_FIXES = 2
EXIT_AFTER_S = 60
ACCURACY_UNKNOWN_DM = 1_500  # absent accuracy is a configured worst case, 150 m, never zero
R95_PER_R68 = 1.622  # radius of a 2-D Gaussian error: sqrt(-2 ln 0.05) / sqrt(-2 ln 0.32)
STRAGGLER_MAX_S = 30  # a broker gives a dead reader's messages out again after 10 s: up to three intervals late

# --- zones -----------------------------------------------------------------------------------------------
ZONES_MAX = 16  # of one measure: homes, work, schools of a family, and the way between
ZONE_POINTS_MAX = 1_000  # of one polygon; a commune of the cadastre has a few hundred
ZONE_RADIUS_MIN_M = 30  # the 95 % radius of a good fix in a town is 20 m: a smaller place is entered by chance
ZONE_RADIUS_MAX_M = 20_000  # the plane that it is drawn in is true to 0.1 m up to here
ZONE_AREA_MIN_M2 = 2_500  # 50 m by 50 m
ZONE_BUFFER_MAX_M = 10_000  # as the largest alert distance
SCHEDULE_HOURS_MAX = 70  # spans a week: ten a day
ALERT_FLOOR_BELOW_M = 100  # an inner floor is so far below the alert distance: the margin of leaving

# --- a worker's memory -----------------------------------------------------------------------------------
SNAPSHOT_EVERY_FIXES = 500_000  # about a second of replay when they come in full batches
SNAPSHOT_EVERY_S = (
    300  # 10,000 pairs: 1 MB, 3.5 kB/s beside 32 of fixes at 60 s; a replay of a few seconds (ADR 24)
)
SNAPSHOT_AGAIN_S = 10  # after one that could not be written
PUBLISH_WAVE = 256  # messages under way at once
CLOCK_BACK_TOLD_S = 1  # a clock that is set back by less is being kept by NTP

# --- episodes --------------------------------------------------------------------------------------------
REENTRY_WITHIN_S = 15 * 60  # a re-entry within 15 min belongs to the same episode
ACK_EXPIRES_S = 120
EPISODE_CAUSES_MAX = 64  # causes remembered for repetition: what can be redelivered is minutes old at most
EPISODE_RAISES_MAX = 16  # the opening and the newest: each ruling carries them, and all rulings stay on the log
EPISODE_DEEDS_MAX = 16  # the newest, a quarter of an hour of calls: NO_ANSWER rests on the last minute of them
EPISODE_KEYED_MAX = 8  # idempotency keys: a platform repeats within minutes what it did not see confirmed
# Each ruling carries both, and all rulings stay on a log of 2 GiB that refuses when it is full (F01): 60 calls
# about one alert were 334 kB at 32 and 32, and are 199 kB. All of them are on the log, and in the record.
EPISODE_CORRECTIONS_MAX = 16  # the newest; all of them are rulings on the log, and in the record

PROOF_WAITS_S = 86_400  # an EVIDENTIAL_BREACH for its alert: both wait on one log, whatever a dispatcher was away
PROOF_EARLY_MAX_S = 30  # the evidence of one visit is of fixes at most this old (DOMAIN 3), so it leads by no more

INCIDENT_TOLD_MAX = 20  # pairs in the alert itself, the most urgent; more of them are in the bucket `incidents`
INCIDENT_RANKED_MAX = 5_000  # pairs there: at 99 bytes each half of the 1 MiB that a message of the log may have
EPISODE_ROOMS_MAX = 256  # rooms that one episode remembers to have told: of an outage every one, two a department
HANDOFF_ROOMS_MAX = 16  # that one human names: a drive across several departments
EPISODE_MESSAGES_MAX = 4  # to one room: the first and the newest, which is what the next one refers to

# --- what an order, a unit and a phone need (DOMAIN 4) ------------------------------------------------------
ENDED_LEFT_S = 10  # to the geofence, that says within a second or two what ended with a measure; police: 60 s
ORPHAN_AFTER_S = 86_400  # an alert whose order is not in the bucket: kept for a day before it is ended
UNREACHABLE_AFTER_S = 24 * 3_600
FAULT_OPEN_S = 24 * 3_600
FITTED_WITHIN_S = 72 * 3_600
EXPIRING_DAYS = (1, 7, 30)
TEST_EVERY_S = 15 * 86_400
TEST_TOLD_S = 86_400  # a test that is older when it is first read is no news: all phones, at a first start
# --- reading and acting through the API ------------------------------------------------------------------
ACCESSES_WAITING_MAX = 10_000  # reads not yet on the log: half an hour of a large site's, some 20 MB
ACCESS_OBJECTS_MAX = 512  # ids in one of them: a page of 200 alerts, a minute of a live feed
EVIDENCE_LINKS_MAX = (
    500_000  # read for one package over the API: a whole day of such a site, 262 MiB while it is held
)
EVIDENCE_PAYLOADS_MAX_BYTES = 64 * 1024 * 1024  # kept beside them: tracks and cases are some megabytes each
EVIDENCE_AT_ONCE = 2  # packages in the memory of the API, from the first link read to the last byte taken
EVIDENCE_PLACE_S = 5.0  # for one of these places: most packages are read and sent in less
EVIDENCE_STALLED_S = 30.0  # for a chunk that nobody takes: a line that was lost, or a laptop that was closed
EVIDENCE_SENT_S = 600.0  # for all of a reply: the 200 MB of the largest at 3 Mbit/s, and no place kept by drops
CALLBACK_VALID_S = 3_600  # a link of a notification: twice the 30 min in which a P4 is acknowledged (DOMAIN 2)
ACT_AHEAD_MAX_S = 300  # how far ahead of ours the clock of an operator's machine may be, as a device's

# --- territory -------------------------------------------------------------------------------------------
BORDER_MARGIN_M = 500  # beyond the circle of accuracy: a border case goes to both forces
BORDER_MARGIN_MAX_M = 10_000
ROUTING_RADIUS_MAX_M = 20_000  # a circle wider than a department would tell half of France

# --- deliveries ------------------------------------------------------------------------------------------
WEBHOOK_TIMEOUT_S = 3.0
ANSWER_MAX_BYTES = 64 * 1024  # of the body of an answer; its status has said it all
ANSWER_TAIL_S = 0.5  # for that body, behind the status: the connection is worth no more than another handshake
LINE_EAGER = 32  # POSTs at once to one endpoint that answers: at 50 ms each 640 a second
LINE_NEW_MIN = (
    8  # of these for a P1 that nobody has heard of yet; the other 24 tell 700 (F28) in 9 s at 0.3 s each
)
LINE_FIRST_MAX = (
    240  # first attempts at once to one that hangs: 700 (F28) in three time-outs, 9 s, are within 10 s
)
LINE_URGENT_MIN = 80  # of these for P1 alone
LINE_RETRY_MAX = 80  # retries at once, beside them
LINE_CONNECTIONS_MAX = LINE_FIRST_MAX + LINE_RETRY_MAX
HEARTBEAT_EVERY_S = 60  # to each endpoint; whoever hears nothing for 180 s rings up
HEARTBEATS_MISSED_MAX = 3  # then it is said: the same 180 s
COURIER_PARALLEL_MAX = 10_000  # per channel: a recipient that is down for an hour must not hold up the next alert
SETTLED_MAX = 65_536  # per channel: what is remembered as told of rulings that were given back; 8 MB
DOWNLINK_PARALLEL_MAX = 2_000  # what leaves within a lease, at 1,000 a second: more would come twice
COMMAND_PUBACK_S = 1.5  # within a lease: who gives an order back must still hold it
LEASE_S = 3.0  # an unacknowledged message of the log goes to another worker after this
LEASE_RENEW_S = 1.0

assert FIX_PAST_MAX_S < (FIXES_KEPT_MIN_DAYS - 1) * 86_400
assert COMPACT_AFTER_DAYS < FIXES_KEPT_MIN_DAYS < FIXES_KEPT_DAYS
assert BATCH_MAX_FIXES < BROKER_INFLIGHT_MAX
assert BROKER_PAYLOAD_MAX_BYTES > 10 * 1024 * 1024 > PAYLOAD_MAX_BYTES
assert BORDER_MARGIN_M <= BORDER_MARGIN_MAX_M < ROUTING_RADIUS_MAX_M
assert EPISODE_MESSAGES_MAX >= 2
assert LEASE_RENEW_S * 2 < LEASE_S
assert COMMAND_PUBACK_S * 2 <= LEASE_S
assert EVIDENCE_PLACE_S < EVIDENCE_STALLED_S < EVIDENCE_SENT_S
assert STRAGGLER_MAX_S < LATE_AFTER_S < FIX_PAST_MAX_S
assert 0 < LINE_NEW_MIN < LINE_EAGER
assert LINE_EAGER <= LINE_FIRST_MAX - LINE_URGENT_MIN
assert -(-700 // LINE_FIRST_MAX) * WEBHOOK_TIMEOUT_S <= 10.0
