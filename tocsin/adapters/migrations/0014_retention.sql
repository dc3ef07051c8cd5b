-- What is to be kept although its time is over, and by which hour the custodian goes (docs/adr/0044).

-- A hold, or the prosecutor's leave. Each is a link, too, in the chain of what it is about: once placed, once lifted.
-- ``since``: from when on the history of fixes has to be kept for it.
create table tocsin.hold (
  number bigint generated always as identity unique,
  id text primary key,
  kind text not null check (kind in ('hold', 'leave')),
  what text not null check (what in ('alert', 'measure', 'device')),
  subject text not null,
  since timestamptz not null,
  reason text not null,
  authority text not null,
  placed_by text not null,
  placed_at timestamptz not null,
  lifted_by text,
  lifted_at timestamptz,
  lifted_because text,
  check ((lifted_at is null) = (lifted_by is null) and (lifted_at is null) = (lifted_because is null))
);
create index hold_standing on tocsin.hold (what, subject) where lifted_at is null;

create function tocsin.refuse_second_lift() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  if old.lifted_at is not null
    or (to_jsonb(new) - array['lifted_by', 'lifted_at', 'lifted_because'])
      is distinct from (to_jsonb(old) - array['lifted_by', 'lifted_at', 'lifted_because']) then
    raise exception 'a hold is placed once and lifted once' using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $$;
revoke execute on function tocsin.refuse_second_lift() from public;
create trigger hold_lifted_once before update on tocsin.hold
  for each row execute function tocsin.refuse_second_lift();
create trigger hold_append_only before delete or truncate on tocsin.hold
  for each statement execute function tocsin.refuse_change();

-- ``passed_at``: the last hour at which the custodian believed its clock. ``believed_at``: what a human said it was.
create table tocsin.custody (
  one boolean primary key default true check (one),
  passed_at timestamptz,
  believed_at timestamptz,
  believed_by text
);
insert into tocsin.custody default values;

-- The newest hour that no clock of ours can move. Canaries are ours, and report by our own clock.
create function tocsin.fleet_hour() returns timestamptz language sql stable
set search_path = pg_catalog, pg_temp as $$
  select max(measured_at) from tocsin.last_position left join tocsin.device on number = device_number
  where id is null or not starts_with(id, 'canary-')
$$;
revoke execute on function tocsin.fleet_hour() from public;

-- As 0002 has it, and: a day that a hold needs stays, with every day behind it.
create or replace function tocsin.history_edge(oldest timestamptz, until timestamptz, days_max int)
returns timestamptz language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  kept interval := (select kept_days from tocsin.storage) * interval '24 hours';
  newest timestamptz := tocsin.fleet_hour();
  held timestamptz := (select date_trunc('day', min(since), 'UTC') from tocsin.hold
                       where kind = 'hold' and lifted_at is null);
  first_end timestamptz := date_trunc('day', oldest, 'UTC') + interval '24 hours';
begin
  if kept is null or newest is null or oldest is null or first_end > until then
    return null;
  elsif until - interval '24 hours' > newest - kept then
    raise exception 'nothing is deleted: days until % are said to be over, the newest position is of %: is the clock right?',
      until, newest;
  elsif first_end > newest - kept or first_end > held then
    return null;
  end if;
  return least(date_trunc('day', least(until, newest - kept), 'UTC'), held,
    first_end + (days_max - 1) * interval '24 hours');
end $$;

-- As 0002 has it, and: while a hold stands TimescaleDB's own job, which asks nobody, is not there.
create or replace function tocsin.history_configure(kept bigint, compact_after bigint, jobs boolean) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  known tocsin.storage := (select storage from tocsin.storage for update);
  wanted boolean := jobs and known.columnstore
    and not exists (select from tocsin.hold where kind = 'hold' and lifted_at is null);
begin
  if (known.kept_days, known.compact_after_days, known.own_jobs) is not distinct from (kept, compact_after, wanted) then
    return false;
  end if;
  update tocsin.storage set kept_days = kept, compact_after_days = compact_after, own_jobs = wanted;
  if known.own_jobs then
    execute format($q$ select %I.remove_retention_policy('tocsin.fixes', if_exists => true) $q$, known.extension_schema);
    execute format($q$ call %I.remove_columnstore_policy('tocsin.fixes', if_exists => true) $q$, known.extension_schema);
  end if;
  if wanted then
    execute format($q$ select %I.add_retention_policy('tocsin.fixes', drop_after => %L::interval) $q$,
      known.extension_schema, kept || ' days');
    execute format($q$ call %I.add_columnstore_policy('tocsin.fixes', after => %L::interval) $q$,
      known.extension_schema, compact_after || ' days');
  end if;
  return true;
end $$;

-- Deletes what the history has of these devices from before `until`, in every table of it; returns how many rows.
-- EXECUTE: planned with the very hours, so that other days are not looked at.
create function tocsin.history_erase(devices bigint[], until timestamptz) returns bigint language plpgsql
set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
  statement text;
  gone bigint;
  total bigint := 0;
begin
  foreach statement in array array[
    'delete from tocsin.fixes where device_number = any($1) and measured_at < $2',
    'delete from tocsin.fixes_astray where device_number = any($1) and received_at < $2',
    'delete from tocsin.fixes_hourly where device_number = any($1) and hour < $2',
    'delete from tocsin.last_position where device_number = any($1) and measured_at < $2'
  ] loop
    execute statement using devices, until;
    get diagnostics gone = row_count;
    total := total + gone;
  end loop;
  return total;
end $$;
revoke execute on function tocsin.history_erase(bigint[], timestamptz) from public;

-- What was found of the past belongs to the file of its measure.
do $$
begin
  if exists (select from pg_roles where rolname = 'tocsin_custodian') then
    grant select, delete on tocsin.past_incursion to tocsin_custodian;
  end if;
end $$;
