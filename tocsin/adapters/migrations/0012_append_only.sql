-- The record is only ever added to, by a role that can do nothing else; orders to units are part of it; and no table
-- of the record of alerts has a place in it any more (docs/adr/0040).

-- ---------------------------------------------------------------------------------------------- orders to units

-- With the name in the key: a log that was made anew begins again at 1.
create table tocsin.command (
  stream_sequence bigint not null,
  device text not null,
  id text not null,
  action text not null,
  at timestamptz not null,
  expires_at timestamptz not null,
  said_by text not null,  -- the human who gave it, empty: a machine
  payload bytea not null,
  primary key (device, stream_sequence, id)
);
create index command_at on tocsin.command (at);

create table tocsin.result (
  stream_sequence bigint not null,
  device text not null,
  command text not null,
  stage text not null,
  at timestamptz not null,
  reason text not null,
  payload bytea not null,
  primary key (device, stream_sequence, command, stage)
);
create index result_at on tocsin.result (at);

-- ---------------------------------------------------------------------------------------------- what was before

-- Rows written before this file have their coordinates in them, and no link: the chains say nothing of them. Marked,
-- so that nobody has to guess which those are. (A constant default: nothing is rewritten.)
alter table tocsin.ruling add column before_chains boolean not null default true;
alter table tocsin.ruling alter column before_chains set default false;
alter table tocsin.attempt add column before_chains boolean not null default true;
alter table tocsin.attempt alter column before_chains set default false;
alter table tocsin.access add column before_chains boolean not null default true;
alter table tocsin.access alter column before_chains set default false;

-- The hour of the last link: the next one is not dated before it. Null: a chain without links.
alter table tocsin.chain add column at timestamptz;
update tocsin.chain set at = link.at from tocsin.link where (link.chain, link.number) = (chain.name, chain.length);

-- ---------------------------------------------------------------------------------------------- only ever added to

drop trigger access_append_only on tocsin.access;
do $$
declare
  part text;
begin
  foreach part in array array['ruling', 'attempt', 'access', 'command', 'result'] loop
    execute format('create trigger %I before update or truncate on tocsin.%I
      for each statement execute function tocsin.refuse_change()', part || '_append_only', part);
    execute format('create trigger %I before delete on tocsin.%I
      for each statement execute function tocsin.refuse_erasure()', part || '_erased_by_custodian', part);
  end loop;
end $$;

-- ---------------------------------------------------------------------------------------------- who may do what

-- To the roles that there are. An administrator who makes them later calls it again, as the owner of the tables.
create function tocsin.grant_parts() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  part text;
begin
  if exists (select from pg_roles where rolname = 'tocsin_recorder') then
    grant usage on schema tocsin to tocsin_recorder;
    grant select, insert on tocsin.ruling, tocsin.attempt, tocsin.access, tocsin.command, tocsin.result,
      tocsin.episode, tocsin.notification, tocsin.link, tocsin.chain to tocsin_recorder;
    grant select (id, kind) on tocsin.device to tocsin_recorder;  -- for how long a command is kept
    grant insert on tocsin.opened to tocsin_recorder;  -- it writes payloads, and never reads one again
    grant update on tocsin.episode, tocsin.notification to tocsin_recorder;  -- what follows from the rulings
    grant update (length, hash, at) on tocsin.chain to tocsin_recorder;  -- a cursor
  end if;
  if exists (select from pg_roles where rolname = 'tocsin_custodian') then
    grant usage on schema tocsin to tocsin_custodian;
    grant select, delete on tocsin.ruling, tocsin.attempt, tocsin.access, tocsin.command, tocsin.result,
      tocsin.episode, tocsin.notification, tocsin.opened to tocsin_custodian;
    grant insert on tocsin.opened to tocsin_custodian;  -- the deletion itself
    grant select, insert on tocsin.link, tocsin.chain to tocsin_custodian;
    grant update (length, hash, at) on tocsin.chain to tocsin_custodian;
  end if;
  -- Whoever owns the tables becomes them with ``set role``. A superuser may already.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    foreach part in array array['tocsin_recorder', 'tocsin_custodian'] loop
      begin
        execute format('grant %I to current_user', part);
      exception when undefined_object or insufficient_privilege then
        null;  -- not made yet, or by an administrator, who grants it (docs/storage.md)
      end;
    end loop;
  end if;
end $$;
revoke execute on function tocsin.grant_parts() from public;
select tocsin.grant_parts();
