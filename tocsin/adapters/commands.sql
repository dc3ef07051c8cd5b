-- What units were asked to do, and what came of it. Only ever added to; a redelivered message changes nothing.

-- name: keep_commands
insert into tocsin.command (stream_sequence, device, id, action, at, expires_at, said_by, payload)
select sequence, device, id, action, at, expires_at, said_by, payload
from unnest(
  %b::bigint[], %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::timestamptz[], %b::text[], %b::bytea[])
  with ordinality as said (sequence, device, id, action, at, expires_at, said_by, payload, number)
order by number
on conflict do nothing

-- name: keep_results
insert into tocsin.result (stream_sequence, device, command, stage, at, reason, payload)
select sequence, device, command, stage, at, reason, payload
from unnest(
  %b::bigint[], %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::text[], %b::bytea[])
  with ordinality as said (sequence, device, command, stage, at, reason, payload, number)
order by number
on conflict do nothing

-- name: commands
select stream_sequence, payload from tocsin.command where device = %s order by stream_sequence limit %s

-- name: results
select stream_sequence, payload from tocsin.result where device = %s order by stream_sequence limit %s

-- name: phones
select id from tocsin.device where id = any(%s) and kind = %s
