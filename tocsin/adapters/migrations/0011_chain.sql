-- What binds the record together (ARCHITECTURE, A13; tocsin/chain.py says how the hashes are made).

-- How far each chain has come: where the next link goes. A cursor; what it says follows from the links.
create table tocsin.chain (
  name text primary key,
  length bigint not null,
  hash bytea not null
);

-- Links are kept for ever and are about nobody. ``source`` makes what is given twice one link.
create table tocsin.link (
  chain text not null,
  number bigint not null check (number >= 1),
  kind text not null,
  kept_as text not null,
  source text not null,
  at timestamptz not null,
  commitment bytea not null,
  previous bytea not null,
  hash bytea not null,
  primary key (chain, number),
  unique (chain, source)
);
create index link_kept_as on tocsin.link (kept_as, at);

-- What a link commits to, for as long as the law lets it be kept.
create table tocsin.opened (
  chain text not null,
  number bigint not null,
  salt bytea not null,
  payload bytea not null,
  primary key (chain, number)
);

create trigger link_append_only before update or delete or truncate on tocsin.link
  for each statement execute function tocsin.refuse_change();
create trigger opened_append_only before update or truncate on tocsin.opened
  for each statement execute function tocsin.refuse_change();

-- Who erases does so under a name of its own, with ``set role``: neither the recorder nor the tables' owner erases by
-- mistake.
create function tocsin.refuse_erasure() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  if current_user <> 'tocsin_custodian' then
    raise exception 'only the custodian erases from tocsin.%', tg_table_name
      using errcode = 'insufficient_privilege';
  end if;
  return null;
end $$;
revoke execute on function tocsin.refuse_erasure() from public;
create trigger opened_erased_by_custodian before delete on tocsin.opened
  for each statement execute function tocsin.refuse_erasure();

do $$
declare
  part text;
begin
  foreach part in array array['tocsin_recorder', 'tocsin_custodian'] loop
    begin
      execute format('create role %I nologin', part);
    exception when duplicate_object or unique_violation or insufficient_privilege then
      null;  -- another database of this server has made it, or an administrator will (docs/storage.md)
    end;
  end loop;
end $$;
