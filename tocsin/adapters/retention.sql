-- What may be over, and its erasure. Candidates are walked in order of a key; which of them go is decided elsewhere.

-- name: take_turn
select pg_try_advisory_lock(%s)

-- name: end_turns
select pg_advisory_unlock_all()

-- name: hours
-- And when the fleet was last heard, by the clock of whoever received it.
select tocsin.fleet_hour(), passed_at, believed_at, clock_timestamp(),
  (select max(measured_at + delay_ms * interval '1 millisecond')
   from tocsin.last_position left join tocsin.device on number = device_number
   where id is null or not starts_with(id, 'canary-'))
from tocsin.custody

-- name: passed
update tocsin.custody set passed_at = %s

-- name: believe
update tocsin.custody set believed_at = %s, believed_by = %s

-- name: positions
-- With the ruling that has them: it knows when the press came.
select link.chain, link.number, link.kind, link.at, opened.payload, ruling.payload
from tocsin.link join tocsin.opened using (chain, number)
left join tocsin.ruling on ruling.episode = substr(link.chain, 9)
  and ruling.stream_sequence = case when link.source ~ '^places:[0-9]{1,18}$'
    then split_part(link.source, ':', 2)::bigint end
where link.kept_as = 'tgd_position' and (link.chain, link.number) > (%(after)s, %(number)s)
order by link.chain, link.number limit %(limit)s

-- name: old_positions
-- From before the chains: in the rows themselves.
select episode, stream_sequence, at, payload, (select noun::text from tocsin.episode where id = episode)
from tocsin.ruling
where before_chains and code = any(%(codes)s) and position('lat_e6'::bytea in payload) > 0
  and (episode, stream_sequence) > (%(after)s, %(number)s)
order by episode, stream_sequence limit %(limit)s

-- name: blank_ruling
update tocsin.ruling set payload = %(payload)s, event = %(event)s::jsonb
where episode = %(episode)s and stream_sequence = %(sequence)s and before_chains

-- name: blank_alert
-- Unless it was ruled upon since: then it has no place any more.
update tocsin.episode set noun = %(blank)s::jsonb where id = %(episode)s and noun = %(noun)s::jsonb

-- name: alerts_named
select id, code, subject, measures, device, opened_at, closed_at, last_sequence,
  array(select greatest(valid_until, ended_at) from tocsin.measure where measure.id = any(measures)),
  array(select unnest(array[wearer, protected]) from tocsin.measure where measure.id = any(measures))
from tocsin.episode where id = any(%(ids)s)

-- name: alerts
select id, code, subject, measures, device, opened_at, closed_at, last_sequence,
  array(select greatest(valid_until, ended_at) from tocsin.measure where measure.id = any(measures)),
  array(select unnest(array[wearer, protected]) from tocsin.measure where measure.id = any(measures))
from tocsin.episode
where opened_at < %(before)s and (opened_at, id) > (%(after)s, %(id)s)
order by opened_at, id limit %(limit)s

-- name: measures
select id, wearer, protected, greatest(valid_until, ended_at) from tocsin.measure
where greatest(valid_until, ended_at) < %(before)s and id > %(after)s
  and (zones <> '[]' or authorised is not null
    or exists (select from tocsin.measure_version as kept
               where kept.measure = measure.id and (zones <> '[]' or authorised is not null))
    or exists (select from tocsin.past_incursion where past_incursion.measure = measure.id)
    or exists (select from tocsin.opened join tocsin.link using (chain, number)
               where chain = 'measure/' || measure.id and kept_as <> 'proof'))
order by id limit %(limit)s

-- name: fronts
-- Chains whose oldest payload is older than that.
select name from tocsin.chain
where starts_with(name, %(prefix)s) and name > %(after)s
  and (select link.at from tocsin.opened join tocsin.link using (chain, number)
       where opened.chain = name and kept_as <> 'proof' order by opened.number limit 1) < %(before)s
order by name limit %(limit)s

-- name: payloads
select number, kept_as, source, at, payload from tocsin.opened join tocsin.link using (chain, number)
where chain = %(chain)s and kept_as <> 'proof' and kept_as <> 'tgd_position' and at < %(before)s
  and number > %(after)s
order by number limit %(limit)s

-- name: measures_of_device
select id, wearer, protected, valid_from, greatest(valid_until, ended_at) from tocsin.measure
where %(device)s in (wearer, protected)

-- name: old_accesses
-- From before the chains: no link names them.
select id, objects, at from tocsin.access
where before_chains and at < %(before)s and (at, id) > (%(after)s, %(id)s) order by at, id limit %(limit)s

-- name: numbers
select number from tocsin.opened join tocsin.link using (chain, number)
where chain = %(chain)s and kept_as = %(kept_as)s order by number limit %(limit)s

-- name: lock_holds
lock table tocsin.hold in share mode

-- name: holds_revision
select count(*) + count(lifted_at) from tocsin.hold

-- name: become_custodian
set local role tocsin_custodian

-- name: become_oneself
reset role

-- name: erase_opened
delete from tocsin.opened where chain = %(chain)s and number = any(%(numbers)s) returning number

-- name: erase_rulings
delete from tocsin.ruling where episode = any(%(ids)s)

-- name: erase_attempts
delete from tocsin.attempt where episode = any(%(ids)s)

-- name: erase_notifications
delete from tocsin.notification where episode = any(%(ids)s)

-- name: erase_episodes
delete from tocsin.episode where id = any(%(ids)s)

-- name: erase_commands
delete from tocsin.command
where device = %(device)s
  and (stream_sequence, id) in (select * from unnest(%(sequences)s::bigint[], %(ids)s::text[]))

-- name: erase_results
delete from tocsin.result
where device = %(device)s
  and (stream_sequence, command, stage) in (
    select * from unnest(%(sequences)s::bigint[], %(ids)s::text[], %(stages)s::text[]))

-- name: erase_accesses
delete from tocsin.access where id = any(%(ids)s)

-- name: erase_incursions
delete from tocsin.past_incursion where measure = %(measure)s

-- name: blank_measure
-- Of the order stays what others need: names, units, hours.
update tocsin.measure set zones = '[]', authorised = null
where id = %(measure)s and (zones <> '[]' or authorised is not null)

-- name: blank_versions
update tocsin.measure_version set zones = '[]', authorised = null
where measure = %(measure)s and (zones <> '[]' or authorised is not null)

-- name: canary_episodes
-- Those that the last day has said nothing of.
select id from tocsin.episode
where {canarys}
  and not exists (select from tocsin.ruling where episode = episode.id and at >= %(before)s)
limit %(limit)s

-- name: erase_canary_commands
delete from tocsin.command where device ~ %(pattern)s and at < %(before)s

-- name: erase_canary_results
delete from tocsin.result where device ~ %(pattern)s and at < %(before)s

-- name: erase_canary_incursions
delete from tocsin.past_incursion where measure ~ %(pattern)s and said_at < %(before)s

-- name: numbered_devices
select number, id, id ~ %(pattern)s from tocsin.device where kind = %(kind)s or id ~ %(pattern)s order by number

-- name: history_erase
select tocsin.history_erase(%s, %s)
