-- The care of the history. The bodies differ with the kind of storage (migration 0002); the names do not.

-- name: take_turn
select pg_try_advisory_lock(%s)

-- name: end_turns
select pg_advisory_unlock_all()

-- name: configure
select tocsin.history_configure(%s::bigint, %s::bigint, %s::boolean)::int

-- name: ensure
select tocsin.history_ensure(%s::date, %s::date)

-- name: catch_up
select tocsin.history_catch_up(%s::int)

-- name: rollup
select tocsin.history_rollup(%s::timestamptz, %s::timestamptz)

-- name: compact
select tocsin.history_compact(%s::timestamptz, %s::int)

-- name: retain_beside
select tocsin.history_retain_beside(%s::timestamptz, %s::int)

-- name: retain
select tocsin.history_retain(%s::timestamptz, %s::int)

-- name: bytes
select tocsin.history_bytes()

-- name: storage
select kind, columnstore, version, reason, kept_days, compact_after_days, own_jobs from tocsin.storage
