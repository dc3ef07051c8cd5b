-- How the history of fixes is stored: a hypertable of TimescaleDB where the extension is there, daily partitions of
-- PostgreSQL where it is not. Decided here, once, and written into tocsin.storage. Whoever reads, writes or tidies up
-- calls the same names on both and never asks which it is.
-- Hours are those of Tocsin's own clock, handed in; nothing here reads now(). (TimescaleDB's own jobs do; they are only
-- set up where history_configure is told that the clock is real time. And what lay in the net, below, once.)

-- With its partitions. Whoever archives waits from here on: a row that is committed beside the copies would be in none.
lock table tocsin.fixes in exclusive mode;

create table tocsin.storage (
  one boolean primary key default true check (one),
  kind text not null check (kind in ('timescaledb', 'partitions')),
  columnstore boolean not null,
  version text not null,  -- of the extension, or of PostgreSQL
  extension_schema text,  -- where the functions of the extension are
  reason text not null,
  kept_days bigint,  -- null until history_configure was called: nothing is deleted before that
  compact_after_days bigint,
  own_jobs boolean not null default false  -- TimescaleDB also compacts and retains by itself
);

-- ---------------------------------------------------------------------------------------------- what is beside fixes

-- Fixes whose clock was so far off that their hour means nothing. On both kinds: a row from 2031 in the history would
-- make a chunk that no retention ever drops. Kept, found and deleted by the hour of their reception.
create table tocsin.fixes_astray (
  device_number bigint not null,
  measured_at timestamptz not null,
  received_at timestamptz not null,
  lat_e6 int not null,
  lon_e6 int not null,
  accuracy_dm int,
  speed_cms int,
  course_ddeg int,
  battery_pct smallint,
  source smallint not null,
  flags int not null,
  boot bigint not null,
  seq bigint,
  unique (device_number, measured_at)
);
create index fixes_astray_device on tocsin.fixes_astray (device_number, received_at);
create index fixes_astray_received_at on tocsin.fixes_astray (received_at);  -- the oldest, for retention

-- One row per device and hour of measurement, without any place: what reports of yield and burden count.
create table tocsin.fixes_hourly (
  device_number bigint not null,
  hour timestamptz not null,
  fixes bigint not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  speed_max_cms int,
  accuracy_worst_dm int,
  accuracy_unknown bigint not null,  -- fixes whose device gave none
  delay_max_ms int not null,
  battery_min_pct smallint,
  primary key (device_number, hour)
);
-- Retention asks for the oldest hour, which BRIN cannot say. All devices share an hour: a few bytes a row.
create index fixes_hourly_hour on tocsin.fixes_hourly (hour);

-- Hours whose roll-up is behind: a row per hour and archived batch, written in the batch's own transaction. No key, so
-- that no writer ever waits for another one or for the roll-up.
create table tocsin.rollup_due (hour timestamptz not null);

-- ---------------------------------------------------------------------------------------------- the decision

-- Where the library is not preloaded CREATE EXTENSION ends the session instead of failing: it is looked for first, by a
-- setting that only the loaded library brings.
do $$
declare
  why text := 'timescaledb was found';
begin
  if not exists (select from pg_extension where extname = 'timescaledb') then
    if not exists (select from pg_available_extensions where name = 'timescaledb') then
      why := 'timescaledb is not installed on this server';
    elsif not exists (select from pg_settings where name like 'timescaledb.%') then
      why := 'timescaledb is installed, and not in shared_preload_libraries';
    else
      begin
        create extension if not exists timescaledb with schema public;
        why := 'timescaledb was created';
      exception when others then
        why := 'timescaledb could not be created: ' || sqlerrm;
      end;
    end if;
  end if;
  insert into tocsin.storage (kind, columnstore, version, extension_schema, reason)
    select 'timescaledb', false, extversion, nspname, why
    from pg_extension join pg_namespace on pg_namespace.oid = extnamespace
    where extname = 'timescaledb';
  if not found then
    insert into tocsin.storage (kind, columnstore, version, reason)
      values ('partitions', false, current_setting('server_version'), why);
  end if;
end $$;

-- What lay in the net under the partitions was never plausible: history made the day of what was. A delay that was
-- cut at 32 bits says nothing of the hour of reception; it counts as received now, so that it is kept its whole time
-- and not for ever.
with moved as (delete from tocsin.fixes_default returning *)
insert into tocsin.fixes_astray
  select device_number, measured_at,
    case when abs(delay_ms) = 2147483647 then clock_timestamp()
      else measured_at + delay_ms * interval '1 millisecond' end,
    lat_e6, lon_e6, accuracy_dm, speed_cms, course_ddeg, battery_pct, source, flags, boot, seq
  from moved;

-- BRIN: a roll-up reads one hour of a day. A thousandth of the size of a btree.
do $$
declare
  schema text := (select extension_schema from tocsin.storage);
  part regclass;
begin
  if schema is not null then
    create table tocsin.fixes_new (like tocsin.fixes including all);
    execute format(
      $q$ select %1$I.create_hypertable('tocsin.fixes_new', %1$I.by_range('measured_at', interval '1 day'),
            create_default_indexes => false) $q$, schema);
    for part in
      select inhrelid::regclass from pg_inherits
      where inhparent = 'tocsin.fixes'::regclass order by inhrelid::regclass::text
    loop
      execute format('insert into tocsin.fixes_new select * from %s', part);
    end loop;
    drop table tocsin.fixes;
    alter table tocsin.fixes_new rename to fixes;
    -- Apache licence, or a version before 2.18: a hypertable of rows.
    begin
      execute $q$ alter table tocsin.fixes set (timescaledb.enable_columnstore,
        timescaledb.segmentby = 'device_number', timescaledb.orderby = 'measured_at desc') $q$;
      update tocsin.storage set columnstore = true;
    exception when others then
      update tocsin.storage set reason = reason || '; no columnstore: ' || sqlerrm;
    end;
  end if;
  create index fixes_measured_at on tocsin.fixes using brin (measured_at)
    with (pages_per_range = 32, autosummarize = on);
end $$;

-- ---------------------------------------------------------------------------------------------- the verbs

-- One partition per UTC day from `first` to `last`, both included; returns how many were made. Chunks make themselves.
-- ATTACH, not PARTITION OF: it lets writers to the other days go on. What the net caught of a day moves into it.
create function tocsin.history_ensure(first date, last date) returns int language plpgsql
set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
  day date;
  made int := 0;
  part text;
begin
  if (select kind from tocsin.storage) = 'timescaledb' then
    return 0;
  end if;
  perform pg_advisory_xact_lock(hashtext('tocsin.history_ensure'));
  for day in select generate_series(first, last, interval '1 day')::date loop
    part := 'fixes_' || to_char(day, 'YYYYMMDD');
    continue when to_regclass('tocsin.' || part) is not null;
    execute format('create table tocsin.%I (like tocsin.fixes including all)', part);
    execute format(
      'with moved as (delete from tocsin.fixes_default where measured_at >= %1$L and measured_at < %2$L returning *)
       insert into tocsin.%3$I select * from moved',
      day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00', part);
    execute format('alter table tocsin.fixes attach partition tocsin.%I for values from (%L) to (%L)',
      part, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
    made := made + 1;
  end loop;
  return made;
end $$;

-- What ensure_days was called until 0.1.0: a release that is rolled back to still archives. May go with the first
-- release to which nobody rolls back over this migration any more.
create or replace function tocsin.ensure_days(first date, last date) returns int language sql
set search_path = pg_catalog, pg_temp as $$ select tocsin.history_ensure(first, last) $$;

-- Up to where a step of retention may delete when `oldest` is the first moment that is held: whole UTC days that ended
-- at or before `until`, at most `days_max` of them. Null: nothing is to be deleted.
-- A host's clock alone may not empty the history: no day goes that the newest plausible position does not call over as
-- well, and a clock that is more than a day ahead of that position is refused. A position is plausible when it is at most
-- 5 min ahead of the hour of its reception: a wrong clock alone makes every fix implausible and cannot move the newest.
create function tocsin.history_edge(oldest timestamptz, until timestamptz, days_max int) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  kept interval := (select kept_days from tocsin.storage) * interval '24 hours';
  newest timestamptz := (select max(measured_at) from tocsin.last_position);
  first_end timestamptz := date_trunc('day', oldest, 'UTC') + interval '24 hours';
begin
  if kept is null or newest is null or oldest is null or first_end > until then
    return null;
  elsif until - interval '24 hours' > newest - kept then
    raise exception 'nothing is deleted: days until % are said to be over, the newest position is of %: is the clock right?',
      until, newest;
  elsif first_end > newest - kept then
    return null;
  end if;
  return least(date_trunc('day', least(until, newest - kept), 'UTC'),
    first_end + (days_max - 1) * interval '24 hours');
end $$;

-- Deletes what is beside the fixes of the oldest `days_max` UTC days that ended at or before `until`; returns how many
-- rows. Locks no more than those rows: whoever archives goes on, however many there are.
create function tocsin.history_retain_beside(until timestamptz, days_max int) returns bigint language plpgsql
set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
  net boolean := (select kind from tocsin.storage) = 'partitions';
  oldest timestamptz := least((select min(hour) from tocsin.fixes_hourly),
    (select min(received_at) from tocsin.fixes_astray));
  edge timestamptz;
  gone bigint;
  total bigint := 0;
begin
  if net then
    execute 'select least($1, min(measured_at)) from tocsin.fixes_default' into oldest using oldest;
  end if;
  edge := tocsin.history_edge(oldest, until, days_max);
  if edge is null then
    return 0;
  end if;
  delete from tocsin.fixes_hourly where hour < edge;
  get diagnostics total = row_count;
  delete from tocsin.fixes_astray where received_at < edge;
  get diagnostics gone = row_count;
  total := total + gone;
  if net then
    execute 'delete from tocsin.fixes_default where measured_at < $1' using edge;
    get diagnostics gone = row_count;
    total := total + gone;
  end if;
  return total;
end $$;

-- Drops the UTC days that ended at or before `until`, at most `days_max` of them, oldest first; returns how many.
-- Nothing else is done under its lock, which keeps everybody from the history. A lock that is not had at once is left
-- for the next time: whoever archives must not queue behind us.
create function tocsin.history_retain(until timestamptz, days_max int) returns int language plpgsql
set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
declare
  known tocsin.storage := (select storage from tocsin.storage);
  oldest timestamptz;
  edge timestamptz;
  part text;
  dropped int := 0;
begin
  if known.kind = 'timescaledb' then
    execute $q$ select min(range_start) from timescaledb_information.chunks
                where hypertable_schema = 'tocsin' and hypertable_name = 'fixes' $q$ into oldest;
    edge := tocsin.history_edge(oldest, until, days_max);
    if edge is not null then
      execute format($q$ select count(*) from %I.drop_chunks('tocsin.fixes', older_than => $1) $q$,
        known.extension_schema) into dropped using edge;
    end if;
    return dropped;
  end if;
  for part, oldest in
    select relname, to_date(right(relname, 8), 'YYYYMMDD')::timestamp at time zone 'UTC'
    from pg_inherits join pg_class on oid = inhrelid
    where inhparent = 'tocsin.fixes'::regclass and relname ~ '^fixes_\d{8}$' order by relname limit days_max
  loop
    exit when tocsin.history_edge(oldest, until, 1) is null;
    execute format('drop table tocsin.%I', part);
    dropped := dropped + 1;
  end loop;
  return dropped;
end $$;

-- Turns the UTC days that ended at or before `until` into columns, at most `days_max` of them, oldest first; returns
-- how many. Rows still go into such a day; TimescaleDB's own job folds them in.
create function tocsin.history_compact(until timestamptz, days_max int) returns int language plpgsql
set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
  chunk text;
  compacted int := 0;
begin
  if not (select columnstore from tocsin.storage) then
    return 0;
  end if;
  for chunk in execute
    $q$ select format('%I.%I', chunk_schema, chunk_name) from timescaledb_information.chunks
        where hypertable_schema = 'tocsin' and hypertable_name = 'fixes' and not is_compressed and range_end <= $1
        order by range_start limit $2 $q$ using until, days_max
  loop
    execute format('select %I.compress_chunk(%L::regclass)', (select extension_schema from tocsin.storage), chunk);
    compacted := compacted + 1;
  end loop;
  return compacted;
end $$;

-- Counts the fixes of the whole hours that [from_at, to_at) touches; returns how many rows are new or different.
create function tocsin.history_rollup(from_at timestamptz, to_at timestamptz) returns bigint language plpgsql
set search_path = pg_catalog, pg_temp as $$
declare
  changed bigint;
begin
  execute
    $q$ insert into tocsin.fixes_hourly as known
        select device_number, date_bin('1 hour', measured_at, '2000-01-01 00:00+00'), count(*), min(measured_at),
          max(measured_at), max(speed_cms), max(accuracy_dm), count(*) - count(accuracy_dm), max(delay_ms),
          min(battery_pct)
        from tocsin.fixes where measured_at >= $1 and measured_at < $2 group by 1, 2
        on conflict (device_number, hour) do update set
          fixes = excluded.fixes, first_at = excluded.first_at, last_at = excluded.last_at,
          speed_max_cms = excluded.speed_max_cms, accuracy_worst_dm = excluded.accuracy_worst_dm,
          accuracy_unknown = excluded.accuracy_unknown, delay_max_ms = excluded.delay_max_ms,
          battery_min_pct = excluded.battery_min_pct
        where known is distinct from excluded $q$
    using date_bin('1 hour', from_at, '2000-01-01 00:00+00'),
      date_bin('1 hour', to_at + interval '1 hour' - interval '1 microsecond', '2000-01-01 00:00+00');
  get diagnostics changed = row_count;
  return changed;
end $$;

-- Rolls up the oldest `hours_max` hours that are due; returns how many there were. What is archived meanwhile is due
-- again: its row is not seen here, or its fixes are.
create function tocsin.history_catch_up(hours_max int) returns int language plpgsql
set search_path = pg_catalog, pg_temp as $$
declare
  hours timestamptz[];
  due timestamptz;
begin
  with taken as (
    delete from tocsin.rollup_due
    where hour in (select distinct hour from tocsin.rollup_due order by hour limit hours_max) returning hour)
  select coalesce(array_agg(distinct hour), '{}') into hours from taken;
  foreach due in array hours loop
    perform tocsin.history_rollup(due, due + interval '1 hour');
  end loop;
  return cardinality(hours);
end $$;

-- What the fixes take on disk, with their indexes.
create function tocsin.history_bytes() returns bigint language plpgsql
set search_path = pg_catalog, pg_temp as $$
declare
  known tocsin.storage := (select storage from tocsin.storage);
  total bigint;
begin
  if known.kind = 'timescaledb' then
    execute format($q$ select %I.hypertable_size('tocsin.fixes') $q$, known.extension_schema) into total;
  else
    select sum(pg_total_relation_size(relid)) into total from pg_partition_tree('tocsin.fixes');
  end if;
  return total;
end $$;

-- How long fixes are kept, when they become columns, and whether TimescaleDB's jobs see to it as well (on its own
-- clock). The row and the jobs change together; returns whether anything did.
create function tocsin.history_configure(kept bigint, compact_after bigint, jobs boolean) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  known tocsin.storage := (select storage from tocsin.storage for update);
  wanted boolean := jobs and known.columnstore;
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

-- ---------------------------------------------------------------------------------------------- reading

-- The only way to a position. Row security and the columnstore exclude each other, so nobody is granted the tables;
-- each function runs as their owner, and none can be asked for everything.
-- EXECUTE: planned with the very hours that were asked for, so that other days are not even looked at.

create function tocsin.refuse_unbounded(from_at timestamptz, to_at timestamptz, days_max int, rows_max int)
returns void language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if from_at is null or to_at is null or not isfinite(from_at) or not isfinite(to_at) or to_at < from_at then
    raise exception 'a read needs two moments, the earlier one first' using errcode = 'invalid_parameter_value';
  elsif to_at - from_at > days_max * interval '1 day' then
    raise exception 'at most % days a call', days_max using errcode = 'invalid_parameter_value';
  elsif rows_max is null or rows_max < 0 or rows_max > 10000 then
    raise exception 'at most 10000 rows a call' using errcode = 'invalid_parameter_value';
  end if;
end $$;

-- The oldest `rows_max` fixes of one device that were measured in [from_at, to_at).
create function tocsin.track(device bigint, from_at timestamptz, to_at timestamptz, rows_max int)
returns table (measured_at timestamptz, delay_ms int, lat_e6 int, lon_e6 int, accuracy_dm int, speed_cms int,
  course_ddeg int, battery_pct smallint, source smallint, flags int)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform tocsin.refuse_unbounded(from_at, to_at, 31, rows_max);
  return query execute
    $q$ select measured_at, delay_ms, lat_e6, lon_e6, accuracy_dm, speed_cms, course_ddeg, battery_pct, source, flags
        from tocsin.fixes where device_number = $1 and measured_at >= $2 and measured_at < $3
        order by measured_at limit $4 $q$ using device, from_at, to_at, rows_max;
end $$;

-- The same of what a clock far off said, by the hour of its reception in [from_at, to_at).
create function tocsin.astray(device bigint, from_at timestamptz, to_at timestamptz, rows_max int)
returns table (measured_at timestamptz, received_at timestamptz, lat_e6 int, lon_e6 int, accuracy_dm int)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform tocsin.refuse_unbounded(from_at, to_at, 31, rows_max);
  return query execute
    $q$ select measured_at, received_at, lat_e6, lon_e6, accuracy_dm
        from tocsin.fixes_astray where device_number = $1 and received_at >= $2 and received_at < $3
        order by received_at, measured_at limit $4 $q$ using device, from_at, to_at, rows_max;
end $$;

-- The newest plausible fix of each of these devices.
create function tocsin.last_positions(devices bigint[])
returns table (device_number bigint, measured_at timestamptz, delay_ms int, lat_e6 int, lon_e6 int, accuracy_dm int,
  battery_pct smallint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if devices is null or cardinality(devices) > 10000 then
    raise exception 'at most 10000 devices a call' using errcode = 'invalid_parameter_value';
  end if;
  return query execute
    $q$ select device_number, measured_at, delay_ms, lat_e6, lon_e6, accuracy_dm, battery_pct
        from tocsin.last_position where device_number = any($1) $q$ using devices;
end $$;

-- The hours of one device in [from_at, to_at), a year of them at most.
create function tocsin.hourly(device bigint, from_at timestamptz, to_at timestamptz, rows_max int)
returns setof tocsin.fixes_hourly
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform tocsin.refuse_unbounded(from_at, to_at, 366, rows_max);
  return query execute
    $q$ select * from tocsin.fixes_hourly where device_number = $1 and hour >= $2 and hour < $3
        order by hour limit $4 $q$ using device, from_at, to_at, rows_max;
end $$;

-- ---------------------------------------------------------------------------------------------- rights

revoke all on all tables in schema tocsin from public;
revoke all on all functions in schema tocsin from public;

-- Who only reads. Without the right to make roles it is left out; docs/storage.md has the same lines for later.
do $$
begin
  begin
    create role tocsin_reader nologin;
  exception when duplicate_object or unique_violation or insufficient_privilege then
    null;  -- another database of this server has made it, or an administrator will
  end;
  if exists (select from pg_roles where rolname = 'tocsin_reader') then
    grant usage on schema tocsin to tocsin_reader;
    grant execute on function tocsin.track, tocsin.astray, tocsin.last_positions, tocsin.hourly to tocsin_reader;
  end if;
end $$;
