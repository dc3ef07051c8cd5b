"""What is counted and what is written to the log: every metric in one table, one shape of log line.

Metrics: Prometheus, ``tocsin_`` prefix, base units, never a device, a measure or a person as a label. The
processes of one machine share a directory of counters (prometheus_client's multiprocess mode), so that a count
survives the death of the process that made it and ``/metrics`` shows all of them at once.

Log lines: JSON on standard error. A key that could carry a place or a person is a programming error; its value
is withheld where it is written (``_deny``).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, multiprocess

BUDGET_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 300)
"""Edges at the budgets of DOMAIN section 2."""

INGEST_MESSAGES = Counter(
    "tocsin_ingest_messages_total", "Messages taken from the broker, by lane and what became of them.",
    ["lane", "outcome"],
)  # fmt: skip
PHONES_NOT_HEARD = Counter(
    "tocsin_phones_not_heard_total",
    "Connections on which the broker refused ingest the phones' topic.",
    ["session"],
)
ARCHIVED = Counter("tocsin_archived_fixes_total", "Fixes handed to the archive, by outcome.", ["outcome"])
HOUSEKEEPING = Counter(
    "tocsin_housekeeping_total", "Chores done on the history of fixes, by outcome.", ["chore", "outcome"]
)
FINDINGS = Counter("tocsin_findings_total", "Findings of the geofence.", ["code", "change"])
GEOFENCE_FIXES = Counter("tocsin_geofence_fixes_total", "Fixes seen by the geofence.", ["outcome"])
RULINGS = Counter("tocsin_rulings_total", "Rulings of the desk, by reason.", ["reason"])
CONFLICTS = Counter("tocsin_ruling_conflicts_total", "Rulings lost to another writer and decided again.")
NOTIFICATIONS = Counter(
    "tocsin_notifications_total",
    "Attempts to notify, by the line that they went out by.",
    ["channel", "line", "outcome"],
)
HEARTBEATS = Counter("tocsin_heartbeats_total", "Heartbeats to endpoints.", ["line", "outcome"])
COMMANDS = Counter(
    "tocsin_commands_total", "Orders to devices, by action and what became of them.", ["action", "outcome"]
)
RECORDED = Counter("tocsin_recorded_rulings_total", "Rulings written to the record.")
ACCESSES = Counter(
    "tocsin_accesses_total", "Reads of alerts and measures, by what became of the note of it.", ["outcome"]
)
STAGE_SECONDS = Histogram(
    "tocsin_stage_latency_seconds", "Time between two clock points of an alert.", ["start", "end", "priority"],
    buckets=BUDGET_BUCKETS_S,
)  # fmt: skip
KNOWN_DEVICES = Gauge(
    "tocsin_known_devices",
    "Registered devices that a reader of the broker knows.",
    ["reader"],
    multiprocess_mode="mostrecent",
)
QUARANTINE_KEPT = Gauge(
    "tocsin_quarantine_notes", "Notes of refused messages that are kept.", multiprocess_mode="mostrecent"
)
QUARANTINE_LEFT = Gauge(
    "tocsin_quarantine_notes_gone",
    "Notes of refused messages that have given way to newer ones, or to age.",
    multiprocess_mode="mostrecent",
)
PAIRS = Gauge(
    "tocsin_geofence_pairs",
    "Pairs that the geofence decides about.",
    ["partition"],
    multiprocess_mode="mostrecent",
)
ORDERED = Counter(
    "tocsin_geofence_commands_total", "Commands to devices, by what became of them.", ["action", "outcome"]
)
JOURNAL_STEPS = Counter(
    "tocsin_geofence_journal_steps_total", "Ticks of the journal, by what became of them.", ["outcome"]
)
CLOCK_BACK = Counter("tocsin_geofence_clock_back_total", "Times that the clock was found to have been set back.")
SNAPSHOT_BYTES = Gauge(
    "tocsin_geofence_snapshot_bytes", "Size of the newest snapshot.", ["partition"], multiprocess_mode="mostrecent"
)
SNAPSHOT_SECONDS = Histogram(
    "tocsin_geofence_snapshot_seconds", "Time that a snapshot took the worker.", ["outcome"],
    buckets=BUDGET_BUCKETS_S,
)  # fmt: skip
REPLAY_SECONDS = Gauge(
    "tocsin_geofence_replay_seconds",
    "Time from the newest snapshot to the present at the last start.",
    ["partition"],
    multiprocess_mode="mostrecent",
)
COMPILED = Gauge(
    "tocsin_geofence_compiled",
    "1 when machine code takes what is ordinary in a batch, 0 while Python does; both say the same.",
    multiprocess_mode="mostrecent",
)
RETROSPECT_WINDOWS = Counter(
    "tocsin_retrospect_windows_total", "Stretches of the past looked at again, by outcome.", ["outcome"]
)
RETROSPECT_DUE = Gauge(
    "tocsin_retrospect_due",
    "Quarters of an hour of a device that have still to be looked at again.",
    multiprocess_mode="mostrecent",
)
ALERTS_OPEN = Gauge(
    "tocsin_alerts_open", "Open alerts in this API's projection.", ["priority"], multiprocess_mode="mostrecent"
)
PROTECTION_PAIRS = Gauge(
    "tocsin_protection_pairs",
    "Measures by how well they are protected, as this API knows them.",
    ["state"],
    multiprocess_mode="mostrecent",
)
FLEET_INCIDENTS = Gauge(
    "tocsin_fleet_incidents_open",
    "Groups of devices that are silent together.",
    ["dimension"],
    multiprocess_mode="mostrecent",
)
FLEET_LOOKS = Counter("tocsin_fleet_looks_total", "Looks at the whole fleet, by outcome.", ["outcome"])
FLEET_MISSED = Gauge(
    "tocsin_fleet_missed_ratio",
    "Share of the devices that should speak and have missed their report.",
    multiprocess_mode="mostrecent",
)
CANARY_AGE = Gauge(
    "tocsin_canary_age_seconds",
    "Age of the last complete round of the invented pair of a partition.",
    ["partition"],
    multiprocess_mode="mostrecent",
)
CANARY_SECONDS = Histogram(
    "tocsin_canary_seconds", "Time from t3 of a canary's crossing to each stage of its round.", ["stage"],
    buckets=BUDGET_BUCKETS_S,
)  # fmt: skip
HEADS = Counter("tocsin_heads_total", "Heads of the record, by what became of them.", ["outcome"])
CONSOLES_LIVE = Gauge("tocsin_console_live", "Open live feeds.", multiprocess_mode="livesum")
AUDIT_DIFFERENCES = Counter(
    "tocsin_audit_differences_total", "Differences that the auditor found, by law.", ["law"]
)
AUDIT_AGE = Gauge(
    "tocsin_audit_age_seconds",
    "Seconds since the auditor last compared everything, as the clerk sees it.",
    multiprocess_mode="mostrecent",
)
WIRE_MISSED = Counter("tocsin_wire_answers_missed_total", "Answers of endpoints of which no note could be kept.")

WITNESSED = Counter(
    "tocsin_witness_cases_total", "Findings that alerted, by whether they can be decided again.", ["outcome"]
)
TRACKS = Counter("tocsin_witness_tracks_total", "Tracks that were sealed with an alert, by outcome.", ["outcome"])
CUSTODY = Counter("tocsin_custody_total", "Chores of the custodian, by outcome.", ["chore", "outcome"])
ERASED = Counter("tocsin_erased_payloads_total", "Payloads erased with a proof, by class.", ["kept_as"])
ERASED_ROWS = Counter(
    "tocsin_erased_rows_total", "Measures and units whose rows are gone, with a proof.", ["what"]
)
OVERDUE_POSITIONS = Gauge(
    "tocsin_overdue_positions", "Rulings on the log with a TGD position beyond its time.", multiprocess_mode="max"
)
ACCEPTED_MINUS_OUTCOMES = Gauge(
    "tocsin_accepted_minus_outcomes",
    "What was accepted, less what became of it and what is in hand: 0, or something was lost.",
    ["lane", "counted"],
    multiprocess_mode="mostrecent",
)
IN_HAND = Gauge(
    "tocsin_in_hand_messages",
    "Messages taken from the broker and not settled yet.",
    ["lane"],
    multiprocess_mode="mostrecent",
)
EAR_MESSAGES = Counter(
    "tocsin_ear_messages_total",
    "What the auditor's ear expected on the log because a unit said it, by what became of that.",
    ["outcome"],
)
BOUNDED_USAGE = Gauge(
    "tocsin_bounded_usage_ratio",
    "How full each bounded resource is, 0 to 1.",
    ["resource"],
    multiprocess_mode="mostrecent",
)
CLOCK_OFFSET = Gauge(
    "tocsin_clock_offset_seconds",
    "The log's and the record's hour less ours; of steady the last step of ours.",
    ["against"],
    multiprocess_mode="mostrecent",
)
PIPELINE_OLDEST = Gauge(
    "tocsin_pipeline_oldest_seconds",
    "Age of the oldest message that a queue of the log has not settled.",
    ["stage"],
    multiprocess_mode="mostrecent",
)

METRICS: Final = (
    INGEST_MESSAGES, PHONES_NOT_HEARD, ARCHIVED, HOUSEKEEPING, FINDINGS, GEOFENCE_FIXES, RULINGS, CONFLICTS,
    NOTIFICATIONS, HEARTBEATS, COMMANDS, RECORDED, ACCESSES, STAGE_SECONDS, KNOWN_DEVICES, QUARANTINE_KEPT,
    QUARANTINE_LEFT, PAIRS, ORDERED, JOURNAL_STEPS, CLOCK_BACK, SNAPSHOT_BYTES, SNAPSHOT_SECONDS, REPLAY_SECONDS,
    COMPILED, RETROSPECT_WINDOWS, RETROSPECT_DUE, ALERTS_OPEN, PROTECTION_PAIRS, CONSOLES_LIVE,
    FLEET_INCIDENTS, FLEET_LOOKS, FLEET_MISSED, CANARY_AGE, CANARY_SECONDS, HEADS, WITNESSED, TRACKS,
    CUSTODY, ERASED, ERASED_ROWS, OVERDUE_POSITIONS, AUDIT_DIFFERENCES, AUDIT_AGE, WIRE_MISSED,
    ACCEPTED_MINUS_OUTCOMES, IN_HAND, EAR_MESSAGES, BOUNDED_USAGE, CLOCK_OFFSET, PIPELINE_OLDEST,
)  # fmt: skip

WITHHELD: Final = "withheld"
_DENIED_WORDS = (
    "lat",
    "lon",
    "latitude",
    "longitude",
    "geo",
    "phone",
    "name",
    "position",
    "password",
    "secret",
    "token",
)


def _deny(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Withhold what stands under a key for a place, a person or a secret.

    It must not be written, and the line must: an error in writing about an error would end the part.
    """
    for key in event:
        if any(key == word or key.startswith(f"{word}_") or key.endswith(f"_{word}") for word in _DENIED_WORDS):
            event[key] = WITHHELD
    return event


def configure_logging(role: str, realm: str, level: str) -> None:
    """One JSON object a line on standard error, with the role and the realm on each."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _deny,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role, realm=realm)


def all_processes() -> CollectorRegistry:
    """The metrics of every process that shares the directory PROMETHEUS_MULTIPROC_DIR."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
