-- Who has read what (invariant 17). Written from the log by the recorder, in its order; never changed afterwards.

-- ``stream_sequence`` is where it stands on the log; ``id`` makes it one row however often it is given.
create table tocsin.access (
  id text primary key,
  stream_sequence bigint not null,
  at timestamptz not null,
  who text not null,
  service text not null,   -- the account that spoke for him, empty: he himself
  role text not null,
  what text not null,
  objects text[] not null,
  purpose text not null,   -- as he said, empty: nothing
  places boolean not null  -- the reply had coordinates
);
create index access_at on tocsin.access (at, stream_sequence);
create index access_objects on tocsin.access using gin (objects);

create function tocsin.refuse_change() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'tocsin.% is only ever added to', tg_table_name using errcode = 'integrity_constraint_violation';
end $$;
revoke execute on function tocsin.refuse_change() from public;  -- a trigger needs no right
create trigger access_append_only before update or delete or truncate on tocsin.access
  for each statement execute function tocsin.refuse_change();
