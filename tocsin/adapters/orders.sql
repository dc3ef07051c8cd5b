-- Devices, measures, what is to be projected of them, and replies already given.

-- name: add_device
insert into tocsin.device (
  id, kind, password_bcrypt, created_at, reports_every_s, carrier, apn, region, firmware)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (id) do nothing
returning number

-- name: devices
select d.number, d.id, d.kind, d.password_bcrypt, d.revoked_at, d.reports_every_s,
  d.carrier, d.apn, d.region, d.firmware, array(
  select m.id from tocsin.measure m
  where (m.wearer = d.id or m.protected = d.id) and m.valid_until > %(now)s)
from tocsin.device d
where d.number > %(after)s
order by d.number
limit %(limit)s

-- name: all_devices
select number, id, kind, password_bcrypt, revoked_at, reports_every_s, carrier, apn, region, firmware
from tocsin.device
where revoked_at is null

-- name: devices_by_id
select d.number, d.id, d.kind, d.password_bcrypt, d.revoked_at, d.reports_every_s,
  d.carrier, d.apn, d.region, d.firmware, array(
  select m.id from tocsin.measure m
  where (m.wearer = d.id or m.protected = d.id) and m.valid_until > %(now)s)
from tocsin.device d
where d.id = any(%(ids)s)

-- name: hold_devices
-- So that none of them is revoked while a measure that names them is being made.
select id from tocsin.device where id = any(%s) order by id for share

-- name: lock_device
select revoked_at from tocsin.device where id = %s for update

-- name: revoke_device
update tocsin.device set revoked_at = %(at)s, revoked_by = %(by)s, password_bcrypt = '' where id = %(id)s

-- name: renew_device
update tocsin.device set password_bcrypt = %(password_bcrypt)s where id = %(id)s

-- name: add_measure
insert into tocsin.measure (
  id, version, wearer, protected, alert_distance_m, valid_from, valid_until, created_at, created_by,
  zones, authorised)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (id) do nothing
returning number

-- name: lock_measure
select version from tocsin.measure where id = %s for update

-- name: end_measure
update tocsin.measure
set version = version + 1, valid_until = greatest(%(at)s, valid_from), ended_at = %(now)s, ended_by = %(by)s
where id = %(id)s

-- name: prolong_canary
-- An invented measure alone: how long a person's lasts, the court says.
update tocsin.measure
set version = version + 1, valid_until = %(until)s, ended_at = null, ended_by = null
where id = %(id)s and id ~ '^canary-[0-9]+$'

-- name: keep_version
insert into tocsin.measure_version (
  measure, version, wearer, protected, alert_distance_m, valid_from, valid_until, changed_at, changed_by,
  zones, authorised)
select id, version, wearer, protected, alert_distance_m, valid_from, valid_until, %(now)s, %(by)s, zones, authorised
from tocsin.measure
where id = %(id)s

-- name: measures
select number, id, version, wearer, protected, alert_distance_m, valid_from, valid_until,
  created_at, created_by, ended_at, ended_by, zones, authorised
from tocsin.measure
where number > %(after)s and (%(live_at)s::timestamptz is null or valid_until > %(live_at)s)
order by number
limit %(limit)s

-- name: measures_by_id
select number, id, version, wearer, protected, alert_distance_m, valid_from, valid_until,
  created_at, created_by, ended_at, ended_by, zones, authorised
from tocsin.measure
where id = any(%s)

-- name: versions
select version, wearer, protected, alert_distance_m, valid_from, valid_until, changed_at, changed_by,
  zones, authorised
from tocsin.measure_version
where measure = %s
order by version

-- name: unsealed_versions
-- Those behind this measure and version that no link commits to.
select v.measure, v.version, v.wearer, v.protected, v.alert_distance_m, v.valid_from, v.valid_until, v.changed_at,
  v.changed_by, v.zones, v.authorised
from tocsin.measure_version v
where (v.measure, v.version) > (%(after)s, %(version)s)
  and (%(measures)s::text[] is null or v.measure = any(%(measures)s))
  and not exists (
    select from tocsin.link where chain = 'measure/' || v.measure and source = 'order:' || v.version)
order by v.measure, v.version
limit %(limit)s

-- name: touch
insert into tocsin.outbox (kind, key, created_at) values (%s, %s, %s)

-- name: touched
select id, kind, key from tocsin.outbox order by id limit %s

-- name: projected
delete from tocsin.outbox where id = any(%s)

-- name: one_projector
select pg_try_advisory_xact_lock(hashtext('tocsin.order_projector'))

-- name: lapsed
-- Measures whose period, or whose stay in the bucket after it, ended in (since, now].
select id from tocsin.measure
where (valid_until > %(since)s and valid_until <= %(now)s)
  or (valid_until > %(since)s - %(stay)s and valid_until <= %(now)s - %(stay)s)

-- name: lock_key
select pg_advisory_xact_lock(hashtextextended(%s, 0))

-- name: reply
select fingerprint, status, body from tocsin.idempotency where key = %s and created_at > %s

-- name: keep_reply
insert into tocsin.idempotency (key, fingerprint, status, body, created_at)
values (%s, %s, %s, %s, %s)
on conflict (key) do update set
  fingerprint = excluded.fingerprint, status = excluded.status, body = excluded.body,
  created_at = excluded.created_at

-- name: forget_replies
delete from tocsin.idempotency
where key in (
  select key from tocsin.idempotency where created_at <= %s order by created_at limit %s for update skip locked)
