-- Positions by measure, and the rows of measures and units. What goes is decided elsewhere.

-- name: units
-- Of those of which something can be over: what was before a measure, the measure, or the unit itself; and those of
-- which something went that has no proof. Joins and a union, here and below, never IN (...) under OR: that is hashed
-- only while it is estimated to fit into work_mem, and beyond it every pair is compared.
select d.number, d.id, d.created_at, d.revoked_at, o.until_at, o.begun_at is not null
from tocsin.device d left join tocsin.history_over o on o.device_number = d.number
where d.number > %(after)s and d.kind <> %(phone)s and d.id !~ %(canary)s
  and d.id in (
    select wearer from tocsin.measure where valid_from < %(before)s
    union select protected from tocsin.measure where valid_from < %(before)s
    union select id from tocsin.device where number > %(after)s and revoked_at < %(before)s
    union select id from tocsin.device join tocsin.history_over on device_number = number
      where number > %(after)s and begun_at is not null)
order by d.number limit %(limit)s

-- name: lives
select d.number, d.id, d.created_at, d.revoked_at, o.until_at, o.begun_at is not null
from tocsin.device d left join tocsin.history_over o on o.device_number = d.number
where d.id = any(%(names)s) order by d.number

-- name: services
select id, wearer, protected, valid_from, greatest(valid_until, ended_at)
from tocsin.measure where wearer = any(%(units)s)
union
select id, wearer, protected, valid_from, greatest(valid_until, ended_at)
from tocsin.measure where protected = any(%(units)s)

-- name: next
select tocsin.history_next(%(number)s, %(from)s, %(until)s)

-- name: erase_span
select fixes, astray, hours from tocsin.history_erase_span(%(number)s, %(from)s, %(until)s)

-- name: move_on
insert into tocsin.history_over as known (device_number, until_at, begun_at, fixes, astray, hours)
values (%(number)s, %(until)s, %(from)s, %(fixes)s, %(astray)s, %(hours)s)
on conflict (device_number) do update set
  until_at = excluded.until_at, begun_at = coalesce(known.begun_at, excluded.begun_at),
  fixes = known.fixes + excluded.fixes, astray = known.astray + excluded.astray, hours = known.hours + excluded.hours

-- name: add_rest
-- Of a unit that is nobody's: what is behind its edge, which stays where it is.
insert into tocsin.history_over as known (device_number, until_at, begun_at, fixes, astray, hours)
values (%(number)s, %(edge)s, %(edge)s, %(fixes)s, %(astray)s, %(hours)s)
on conflict (device_number) do update set begun_at = coalesce(known.begun_at, known.until_at),
  fixes = known.fixes + excluded.fixes, astray = known.astray + excluded.astray, hours = known.hours + excluded.hours

-- name: unproved
select o.begun_at, o.until_at, o.fixes, o.astray, o.hours
from tocsin.history_over o join tocsin.device d on d.number = o.device_number
where d.id = %(unit)s and o.begun_at is not null for update of o

-- name: proved
update tocsin.history_over set begun_at = null, fixes = 0, astray = 0, hours = 0
where device_number = (select number from tocsin.device where id = %(unit)s)

-- name: measures_over
-- Whose file is gone: no payload, nothing of the past, no place. Whether an alert names it is asked of a page at once.
select m.id, m.wearer, m.protected, greatest(m.valid_until, m.ended_at)
from tocsin.measure m
where m.id > %(after)s and m.id !~ %(canary)s and greatest(m.valid_until, m.ended_at) < %(before)s
  and m.zones = '[]' and m.authorised is null
  and not exists (select from tocsin.measure_version v
    where v.measure = m.id and (v.zones <> '[]' or v.authorised is not null))
  and not exists (select from tocsin.past_incursion p where p.measure = m.id)
  and (select chain from tocsin.opened join tocsin.link using (chain, number)
    where chain = 'measure/' || m.id and kept_as <> 'proof' limit 1) is null
order by m.id limit %(limit)s

-- name: named_by_alerts
-- One pass over the alerts for all of them: no index says which alert names a measure.
select distinct asked.id
from tocsin.episode cross join unnest(measures) as named (id)
join unnest(%(names)s::text[]) as asked (id) on asked.id = named.id

-- name: units_over
-- That no measure names any more, nor an alert, and that were told nothing that is still kept.
select d.id, d.kind = %(phone)s, d.number, d.revoked_at
from tocsin.device d
where d.id > %(after)s and d.id !~ %(canary)s and d.revoked_at < %(before)s
  and not exists (select from tocsin.measure m where m.wearer = d.id)
  and not exists (select from tocsin.measure m where m.protected = d.id)
  and not exists (select from tocsin.episode e where e.device = d.id)
  and (select chain from tocsin.opened join tocsin.link using (chain, number)
    where chain = 'device/' || d.id and kept_as <> 'proof' limit 1) is null
order by d.id limit %(limit)s

-- name: erase_versions
delete from tocsin.measure_version where measure = %(id)s

-- name: erase_measure
delete from tocsin.measure where id = %(id)s

-- name: erase_device
delete from tocsin.device where id = %(id)s and number = %(number)s

-- name: forget_history
delete from tocsin.history_over where device_number = %(number)s returning fixes, astray, hours

-- name: forget_late
delete from tocsin.retrospect_due where device_number = %(number)s

-- name: erase_leftovers
select tocsin.history_erase(array[%(number)s]::bigint[], %(until)s)

-- name: note_erased
insert into tocsin.erased (what, id, kept_as, ended_at, erased_at, number)
values (%(what)s, %(id)s, %(kept_as)s, %(ended)s, %(now)s, %(number)s)

-- name: touch
insert into tocsin.outbox (kind, key, created_at) values (%(what)s, %(id)s, %(now)s)
