-- What was kept without a link by the rule of before, and is to have one (migration 0018). The list is read first, some
-- alerts at a time, and each row by its primary key: however long the record is, nothing goes through it.

-- name: listed_until
select applied_at from tocsin.migration where number = 18

-- name: listed
select chain, source from tocsin.to_link
where chain in (select distinct chain from tocsin.to_link where chain > %(after)s order by chain limit %(limit)s)

-- name: rulings
select ruling.stream_sequence, ruling.payload
from tocsin.ruling
where (episode, stream_sequence) in (select * from unnest(%(episodes)s::text[], %(sequences)s::bigint[]))
order by episode, stream_sequence

-- name: attempts
-- With the ruling that made the notification: it knows the room.
select attempt.notification, attempt.episode, attempt.version, attempt.channel, attempt.attempt, attempt.t7, attempt.t8,
  attempt.result, attempt.status, attempt.line, ruling.payload
from tocsin.attempt
left join tocsin.notification as told on told.id = attempt.notification
left join tocsin.ruling on ruling.episode = told.episode and ruling.stream_sequence = told.stream_sequence
where (attempt.notification, attempt.attempt, attempt.t7, attempt.line) in (
    select * from unnest(%(notifications)s::text[], %(attempts)s::bigint[], %(hours)s::timestamptz[], %(lines)s::text[]))
order by attempt.episode, attempt.t7, attempt.notification, attempt.attempt, attempt.line

-- name: alerts
select id, code, subject, measures, device from tocsin.episode where id = any(%(episodes)s)

-- name: linked
delete from tocsin.to_link
where (chain, source) in (select * from unnest(%(chains)s::text[], %(sources)s::text[]))
