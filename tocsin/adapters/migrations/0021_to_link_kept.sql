-- Nobody adds to the list of 0018, and what is on it leaves it by its link alone (docs/adr/0050).

create trigger to_link_append_only before insert or update or truncate on tocsin.to_link
  for each statement execute function tocsin.refuse_change();

-- The right to delete is the recorder's alone; of what has no link not even the owner takes it from the list.
create function tocsin.refuse_unlinked() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from tocsin.link where chain = old.chain and source = old.source) then
    raise exception 'what has no link stays in tocsin.%', tg_table_name using errcode = 'integrity_constraint_violation';
  end if;
  return old;
end $$;
revoke execute on function tocsin.refuse_unlinked() from public;
create trigger to_link_leaves_by_its_link before delete on tocsin.to_link
  for each row execute function tocsin.refuse_unlinked();

-- Written once, and too short for most servers to look at by themselves.
analyze tocsin.to_link;

-- To the roles that there are; an administrator who makes them later still calls ``grant_parts``. The recorder asks
-- when the list was made.
alter function tocsin.grant_parts() rename to grant_parts_before_0021;
create function tocsin.grant_parts() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform tocsin.grant_parts_before_0021();
  if exists (select from pg_roles where rolname = 'tocsin_recorder') then
    grant select (number, applied_at) on tocsin.migration to tocsin_recorder;
  end if;
end $$;
revoke execute on function tocsin.grant_parts() from public;
select tocsin.grant_parts();
