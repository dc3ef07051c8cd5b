-- Positions by measure, and the rows of measures and units, go when their time is over (docs/adr/0054).

-- How far the history of a unit is erased: everything before ``until_at`` is gone. Between ``begun_at`` and that hour
-- an erasure is at work that has no link yet, and has taken so many rows; null: none is.
create table tocsin.history_over (
  device_number bigint primary key,
  until_at timestamptz not null,
  begun_at timestamptz,
  fixes bigint not null default 0,
  astray bigint not null default 0,
  hours bigint not null default 0
);

-- What is left of a measure or a unit whose row is gone: a name that is never given again, when its time began, by which
-- class it was kept. Where units and measures are named so that they say nothing, nobody.
create table tocsin.erased (
  what text not null check (what in ('measure', 'device')),
  id text not null,
  kept_as text not null,
  ended_at timestamptz not null,
  erased_at timestamptz not null,
  number bigint,  -- of a unit: by it its positions were kept, and would be found
  primary key (what, id)
);
create trigger erased_append_only before update or delete or truncate on tocsin.erased
  for each statement execute function tocsin.refuse_change();

do $$
declare
  part text;
begin
  foreach part in array array['measure', 'measure_version', 'device'] loop
    execute format('create trigger %I before delete on tocsin.%I
      for each statement execute function tocsin.refuse_erasure()', part || '_erased_by_custodian', part);
  end loop;
end $$;

-- A name that is gone is not given again: whoever comes across it in the links would take one unit for another.
create function tocsin.refuse_erased_name() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from tocsin.erased where what = tg_table_name and id = new.id) then
    return null;
  end if;
  return new;
end $$;
revoke execute on function tocsin.refuse_erased_name() from public;
create trigger measure_name_is_new before insert on tocsin.measure
  for each row execute function tocsin.refuse_erased_name();
create trigger device_name_is_new before insert on tocsin.device
  for each row execute function tocsin.refuse_erased_name();

-- The first hour of [from_at, until_at), a month at most, of which the history has anything of one unit; null: none.
create function tocsin.history_next(device bigint, from_at timestamptz, until_at timestamptz) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  first timestamptz;
begin
  perform tocsin.refuse_unbounded(from_at, until_at, 31, 0);
  execute 'select min(measured_at) from tocsin.fixes where device_number = $1 and measured_at >= $2 and measured_at < $3'
    into first using device, from_at, until_at;
  return least(first,
    (select min(received_at) from tocsin.fixes_astray
     where device_number = device and received_at >= from_at and received_at < until_at),
    (select min(hour) from tocsin.fixes_hourly
     where device_number = device and hour > from_at - interval '1 hour' and hour <= until_at - interval '1 hour'));
end $$;
revoke execute on function tocsin.history_next(bigint, timestamptz, timestamptz) from public;

-- Deletes what the history has of one unit from [from_at, until_at), a UTC day at most: short, and of a compressed chunk
-- far below timescaledb.max_tuples_decompressed_per_dml_transaction (100,000). An hour that is not over whole stays
-- counted. As the owner, for nobody is granted the tables; the custodian alone may call it.
-- EXECUTE: planned with the very hours, so that other days are neither looked at nor locked.
create function tocsin.history_erase_span(device bigint, from_at timestamptz, until_at timestamptz,
  out fixes bigint, out astray bigint, out hours bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
  if device is null or from_at is null or until_at is null or until_at - from_at > interval '24 hours' then
    raise exception 'a day of one unit' using errcode = 'invalid_parameter_value';
  end if;
  execute 'delete from tocsin.fixes where device_number = $1 and measured_at >= $2 and measured_at < $3'
    using device, from_at, until_at;
  get diagnostics fixes = row_count;
  delete from tocsin.fixes_astray where device_number = device and received_at >= from_at and received_at < until_at;
  get diagnostics astray = row_count;
  delete from tocsin.fixes_hourly
    where device_number = device and hour > from_at - interval '1 hour' and hour <= until_at - interval '1 hour';
  get diagnostics hours = row_count;
  delete from tocsin.last_position where device_number = device and measured_at < until_at;
end $$;
revoke execute on function tocsin.history_erase_span(bigint, timestamptz, timestamptz) from public;

-- To the roles that there are; an administrator who makes them later still calls ``grant_parts``.
alter function tocsin.grant_parts() rename to grant_parts_before_0020;
create function tocsin.grant_parts() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform tocsin.grant_parts_before_0020();
  if exists (select from pg_roles where rolname = 'tocsin_custodian') then
    grant select, delete on tocsin.measure, tocsin.measure_version, tocsin.device to tocsin_custodian;
    grant select, insert on tocsin.erased to tocsin_custodian;
    grant execute on function tocsin.history_erase_span(bigint, timestamptz, timestamptz) to tocsin_custodian;
  end if;
end $$;
revoke execute on function tocsin.grant_parts() from public;
select tocsin.grant_parts();
