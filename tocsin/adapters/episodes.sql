-- The lives of episodes. Every statement may be repeated, and may come in any order: a redelivered message changes
-- nothing, an older one never overwrites a newer one.

-- name: keep_rulings
insert into tocsin.ruling (stream_sequence, episode, code, subject, version, reason, event, at, payload)
select sequence, episode, code, subject, version, reason, event::jsonb, at, payload
from unnest(
  %(sequence)b::bigint[], %(id)b::text[], %(code)b::text[], %(subject)b::text[], %(version)b::bigint[],
  %(reason)b::text[], %(event)b::text[], %(at)b::timestamptz[], %(payload)b::bytea[])
  with ordinality as said (sequence, episode, code, subject, version, reason, event, at, payload, number)
order by number
on conflict do nothing

-- name: keep_episode
insert into tocsin.episode as known (
  id, code, subject, realm, priority, state, version, owner, outcome, measures, device,
  opened_at, recorded_at, acknowledged_at, over_at, closed_at, points, noun, last_sequence)
values (
  %(id)s, %(code)s, %(subject)s, %(realm)s, %(priority)s, %(state)s, %(version)s, %(owner)s, %(outcome)s,
  %(measures)s, %(device)s, %(opened_at)s, %(recorded_at)s, %(acknowledged_at)s, %(over_at)s, %(closed_at)s,
  %(points)s, %(noun)s, %(sequence)s)
on conflict (id) do update set
  priority = excluded.priority, state = excluded.state, version = excluded.version, owner = excluded.owner,
  outcome = excluded.outcome, measures = excluded.measures, device = excluded.device,
  opened_at = excluded.opened_at, recorded_at = excluded.recorded_at,
  acknowledged_at = excluded.acknowledged_at, over_at = excluded.over_at, closed_at = excluded.closed_at,
  points = excluded.points, noun = excluded.noun, last_sequence = excluded.last_sequence
where excluded.last_sequence > known.last_sequence

-- name: keep_notifications
-- Each id once, in the order of the ids.
insert into tocsin.notification as known (id, episode, version, channel, type, created_at, stream_sequence)
select id, episode, version, channel, type, at, sequence
from unnest(
  %b::text[], %b::text[], %b::bigint[], %b::text[], %b::text[], %b::timestamptz[], %b::bigint[])
  as said (id, episode, version, channel, type, at, sequence)
order by id
on conflict (id) do update set
  episode = excluded.episode, version = excluded.version, channel = excluded.channel, type = excluded.type,
  created_at = excluded.created_at, stream_sequence = excluded.stream_sequence
where excluded.stream_sequence < known.stream_sequence

-- name: keep_attempts
insert into tocsin.attempt (notification, attempt, t7, t8, episode, version, channel, result, status, line)
select notification, attempt, t7, t8, episode, version, channel, result, status, line
from unnest(
  %b::text[], %b::bigint[], %b::timestamptz[], %b::timestamptz[], %b::text[], %b::bigint[], %b::text[],
  %b::text[], %b::bigint[], %b::text[])
  with ordinality as said (notification, attempt, t7, t8, episode, version, channel, result, status, line, number)
order by number
on conflict do nothing

-- name: episode
select noun::text from tocsin.episode where id = %s

-- name: episodes
-- Newest first.
select noun::text, opened_at, id
from tocsin.episode
where opened_at >= %(from)s and opened_at < %(to)s
  and (opened_at, id) < (%(before)s, %(before_id)s)
  and (%(state)s::text is null or state = %(state)s)
  and (%(code)s::text is null or code = %(code)s)
  and (%(measure)s::text is null or %(measure)s = any(measures))
  and {canarys} = %(canary)s
order by opened_at desc, id desc
limit %(limit)s

-- name: rulings
select stream_sequence, payload from tocsin.ruling where episode = %s order by stream_sequence limit %s

-- name: attempts
select notification, episode, version, channel, attempt, t7, t8, result, status, line
from tocsin.attempt
where episode = %s
order by t7, notification, attempt, line
limit %s
