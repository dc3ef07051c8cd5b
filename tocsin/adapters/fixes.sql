-- The history of fixes. In `incoming` -1 stands for an absent value, as in FIX_DTYPE.

-- name: ensure_days
select tocsin.history_ensure(day, day) from unnest(%s::date[]) as day order by day

-- name: make_incoming
create temporary table if not exists incoming (
  device_number bigint, measured_at timestamptz, delay_ms int, lat_e6 int, lon_e6 int, accuracy_dm int,
  speed_cms int, course_ddeg int, battery_pct smallint, source smallint, flags int, boot bigint, seq bigint
) on commit delete rows

-- name: copy_incoming
copy pg_temp.incoming from stdin (format binary)

-- name: keep_fixes
-- In the order of the key, so that two archivists with the same fixes never wait for each other in a circle.
insert into tocsin.fixes (
  device_number, measured_at, delay_ms, lat_e6, lon_e6, accuracy_dm,
  speed_cms, course_ddeg, battery_pct, source, flags, boot, seq)
select device_number, measured_at, delay_ms, lat_e6, lon_e6, nullif(accuracy_dm, -1),
  nullif(speed_cms, -1), nullif(course_ddeg, -1), nullif(battery_pct, -1), source, flags, boot, nullif(seq, -1)
from pg_temp.incoming
order by device_number, measured_at
on conflict do nothing

-- name: keep_last_positions
insert into tocsin.last_position as known (
  device_number, measured_at, delay_ms, lat_e6, lon_e6, accuracy_dm, battery_pct)
select distinct on (device_number)
  device_number, measured_at, delay_ms, lat_e6, lon_e6, nullif(accuracy_dm, -1), nullif(battery_pct, -1)
from pg_temp.incoming
order by device_number, measured_at desc
on conflict (device_number) do update set
  measured_at = excluded.measured_at, delay_ms = excluded.delay_ms, lat_e6 = excluded.lat_e6,
  lon_e6 = excluded.lon_e6, accuracy_dm = excluded.accuracy_dm, battery_pct = excluded.battery_pct
where excluded.measured_at > known.measured_at

-- name: note_hours
insert into tocsin.rollup_due (hour)
select distinct date_bin('1 hour', measured_at, '2000-01-01 00:00+00') from pg_temp.incoming

-- name: keep_astray
insert into tocsin.fixes_astray (
  device_number, measured_at, received_at, lat_e6, lon_e6, accuracy_dm,
  speed_cms, course_ddeg, battery_pct, source, flags, boot, seq)
values (%s, %s, %s, %s, %s, nullif(%s::int, -1), nullif(%s::int, -1), nullif(%s::int, -1), nullif(%s::smallint, -1),
  %s, %s, %s, nullif(%s::bigint, -1))
on conflict do nothing

-- name: track
select measured_at, delay_ms, lat_e6, lon_e6, accuracy_dm, speed_cms, course_ddeg, battery_pct, source, flags
from tocsin.track(%s::bigint, %s::timestamptz, %s::timestamptz, %s::int)

-- name: last_positions
select device_number, measured_at, delay_ms, lat_e6, lon_e6, accuracy_dm, battery_pct
from tocsin.last_positions(%s::bigint[])

-- name: note_late
-- The quarters of an hour that have to be looked at again; in the order of the key, as above.
insert into tocsin.retrospect_due as known (device_number, slot, until_at, received_at, noted_at)
select device_number, date_bin('15 minutes', measured_at, '2000-01-01 00:00+00') as slot, max(measured_at),
  max(measured_at + delay_ms * interval '1 millisecond'), min(measured_at + delay_ms * interval '1 millisecond')
from pg_temp.incoming
where delay_ms > %(late_ms)s or flags & %(bulk)s <> 0
group by device_number, slot
order by device_number, slot
on conflict (device_number, slot) do update set
  until_at = greatest(known.until_at, excluded.until_at),
  received_at = greatest(known.received_at, excluded.received_at),
  noted_at = least(known.noted_at, excluded.noted_at),
  revision = known.revision + 1
