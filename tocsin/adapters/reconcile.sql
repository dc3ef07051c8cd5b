-- What of the log is not in the record? Asked with what the log holds; the answer is what the record lacks.

-- name: missing_rulings
select known.episode, known.sequence
from unnest(%(episodes)s::text[], %(sequences)s::bigint[]) as known (episode, sequence)
where not exists (
  select from tocsin.ruling
  where ruling.episode = known.episode and ruling.stream_sequence = known.sequence)

-- name: missing_attempts
select known.notification, known.attempt, known.t7, known.line
from unnest(%(notifications)s::text[], %(attempts)s::bigint[], %(t7s)s::timestamptz[], %(lines)s::text[])
  as known (notification, attempt, t7, line)
where not exists (
  select from tocsin.attempt
  where attempt.notification = known.notification and attempt.attempt = known.attempt and attempt.t7 = known.t7
    and attempt.line = known.line)

-- name: system_alerts_kept_from
select applied_at from tocsin.migration where number = 18
