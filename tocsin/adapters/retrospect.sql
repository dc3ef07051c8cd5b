-- The past, looked at again.

-- name: due
select device_number, slot, revision
from tocsin.retrospect_due
where until_at <= %(settled)s and (received_at <= %(quiet)s or noted_at <= %(waited)s)
order by slot, device_number
limit %(limit)s

-- name: waiting
select count(*) from tocsin.retrospect_due

-- name: done
delete from tocsin.retrospect_due d
using unnest(%s::bigint[], %s::timestamptz[], %s::bigint[]) as seen (device_number, slot, revision)
where (d.device_number, d.slot, d.revision) = (seen.device_number, seen.slot, seen.revision)

-- name: pairs
-- Measures, in force at some hour of these, as they are known now, with the numbers of both devices.
select m.id, m.version, m.wearer, m.protected, m.alert_distance_m, m.valid_from, m.valid_until, m.authorised,
  w.number, p.number
from tocsin.measure m
join tocsin.device w on w.id = m.wearer
join tocsin.device p on p.id = m.protected
where (w.number = any(%(devices)s) or p.number = any(%(devices)s))
  and m.valid_from <= %(until)s and m.valid_until > %(from)s
order by m.id

-- name: track
select measured_at, delay_ms, lat_e6, lon_e6, accuracy_dm, flags
from tocsin.track(%s::bigint, %s::timestamptz, %s::timestamptz, %s::int)

-- name: alerts
-- What the live rules said, from the rulings on it. An alert that was closed before he left ended, at the latest, then.
select r.event->'finding'->>'change', r.event->'finding'->>'entry',
  (r.event->'finding'->>'entry_ms')::bigint, (r.event->'finding'->>'at_ms')::bigint, coalesce(e.over_at, e.closed_at),
  coalesce((r.event->'finding'->>'authorised')::boolean, false)
from tocsin.episode e
join tocsin.ruling r on r.episode = e.id
where e.code = 'PROX_ALERT' and e.subject = %(measure)s
  and e.opened_at <= %(until)s and coalesce(e.over_at, e.closed_at, 'infinity') >= %(from)s
  and r.event->>'type' = 'finding' and r.event->'finding'->>'code' = 'PROX_ALERT'
order by r.stream_sequence desc
limit %(limit)s

-- name: said
-- The last version of each; also what was taken back, as long as nothing has taken its place.
select finding, withdrawn from tocsin.past_incursion
where measure = %(measure)s and first_at <= %(until)s and last_at >= %(from)s and not superseded and not withdrawal
order by number
limit %(limit)s

-- name: say
insert into tocsin.past_incursion (id, measure, first_at, last_at, said_at, corrects, withdrawal, finding)
values (%(id)s, %(measure)s, %(first)s, %(last)s, %(said)s, %(corrects)s, %(withdrawal)s, %(finding)s)
on conflict do nothing

-- name: supersede
update tocsin.past_incursion set superseded = true where id = any(%s)

-- name: withdraw
update tocsin.past_incursion set withdrawn = true where id = %s

-- name: untold
select id, finding from tocsin.past_incursion where not told order by number limit %s

-- name: told
update tocsin.past_incursion set told = true where id = any(%s)

-- name: postpone
update tocsin.retrospect_due d set until_at = %s
from unnest(%s::bigint[], %s::timestamptz[]) as seen (device_number, slot)
where (d.device_number, d.slot) = (seen.device_number, seen.slot)
