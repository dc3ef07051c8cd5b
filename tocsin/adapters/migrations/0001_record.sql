-- The record: devices and measures, the history of fixes, the lives of episodes.
-- Every number that counts something is 64 bits (F01: a table that reached 2^31 rows blinded 900 agencies for 12 h).
-- Hours are those of Tocsin's own clock, handed in by the writer; nothing here reads now().

-- ---------------------------------------------------------------------------------------------- orders

create table tocsin.device (
  number bigint generated always as identity primary key,
  id text not null unique,
  kind text not null,
  password_bcrypt text not null,
  created_at timestamptz not null
);

create table tocsin.measure (
  number bigint generated always as identity unique,  -- the order of lists
  id text primary key,
  version bigint not null check (version >= 1),
  wearer text not null references tocsin.device (id),
  protected text not null references tocsin.device (id),
  alert_distance_m bigint not null,
  valid_from timestamptz not null,
  valid_until timestamptz not null,
  created_at timestamptz not null,
  created_by text not null,
  ended_at timestamptz,
  ended_by text,
  check (valid_from <= valid_until),  -- equal: ended before it began
  check ((ended_at is null) = (ended_by is null))
);
create index measure_wearer on tocsin.measure (wearer);
create index measure_protected on tocsin.measure (protected);
create index measure_valid_until on tocsin.measure (valid_until);

create table tocsin.measure_version (
  measure text not null references tocsin.measure (id),
  version bigint not null,
  wearer text not null,
  protected text not null,
  alert_distance_m bigint not null,
  valid_from timestamptz not null,
  valid_until timestamptz not null,
  changed_at timestamptz not null,
  changed_by text not null,
  primary key (measure, version)
);

-- What the projector has to look at again, written in the transaction that changed it. A row says *which*, not
-- *what*: the projector reads the tables as they stand, so that order and repetition cannot matter.
create table tocsin.outbox (
  id bigint generated always as identity primary key,
  kind text not null check (kind in ('device', 'measure')),
  key text not null,
  created_at timestamptz not null
);

create table tocsin.idempotency (
  key text primary key,
  fingerprint text not null,
  status bigint not null,
  body bytea not null,
  created_at timestamptz not null
);
create index idempotency_created_at on tocsin.idempotency (created_at);

-- ---------------------------------------------------------------------------------------------- fixes

-- received_at = measured_at + delay_ms. No foreign key: the history neither slows down nor outlives by it.
create table tocsin.fixes (
  device_number bigint not null,
  measured_at timestamptz not null,
  delay_ms int not null,
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
) partition by range (measured_at);

-- The net under clocks that are far off. ensure_days empties it of each day that it makes.
create table tocsin.fixes_default partition of tocsin.fixes default;

-- One partition per UTC day from `first` to `last`, both included; returns how many were made.
-- ATTACH, not PARTITION OF: it lets writers to the other days go on.
create function tocsin.ensure_days(first date, last date) returns int language plpgsql as $$
declare
  day date;
  made int := 0;
  part text;
begin
  perform pg_advisory_xact_lock(hashtext('tocsin.ensure_days'));
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

create table tocsin.last_position (
  device_number bigint primary key,
  measured_at timestamptz not null,
  delay_ms int not null,
  lat_e6 int not null,
  lon_e6 int not null,
  accuracy_dm int,
  battery_pct smallint
) with (fillfactor = 50);  -- updates stay on their page

-- ---------------------------------------------------------------------------------------------- episodes

-- (episode, stream_sequence) and not the sequence alone: a log that was made anew begins again at 1.
create table tocsin.ruling (
  stream_sequence bigint not null,
  episode text not null,
  code text not null,
  subject text not null,
  version bigint not null,
  reason text not null,
  event jsonb not null,
  at timestamptz not null,
  payload bytea not null,
  primary key (episode, stream_sequence)
);

create table tocsin.episode (
  id text primary key,
  code text not null,
  subject text not null,
  realm text not null,
  priority smallint not null,
  state text not null,
  version bigint not null,
  owner text,
  outcome text,
  measures text[] not null,
  device text,
  opened_at timestamptz not null,
  recorded_at timestamptz not null,
  acknowledged_at timestamptz,
  over_at timestamptz,
  closed_at timestamptz,
  points jsonb not null,  -- t1_ms .. t9_ms of the opening; those not passed are absent
  noun jsonb not null,
  last_sequence bigint not null  -- of the newest ruling applied
);
create index episode_opened on tocsin.episode (opened_at, id);

create table tocsin.notification (
  id text primary key,
  episode text not null,
  version bigint not null,
  channel text not null,
  type text not null,
  created_at timestamptz not null,
  stream_sequence bigint not null
);
create index notification_episode on tocsin.notification (episode);

-- An attempt that died after the request and was made again under its number is two facts, told apart by t7.
create table tocsin.attempt (
  notification text not null,
  attempt bigint not null,
  t7 timestamptz not null,
  t8 timestamptz,
  episode text not null,
  version bigint not null,
  channel text not null,
  result text not null,
  status bigint,
  primary key (notification, attempt, t7)
);
create index attempt_episode on tocsin.attempt (episode);
