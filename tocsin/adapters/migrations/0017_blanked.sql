-- Places that no link covers are blanked when their time is over, by the custodian alone (docs/adr/0044): in rulings and
-- alerts of before 0012, and the zones of a measure whose file is over. The names, hours and units stay.

-- As ``refuse_change``, for everybody but the custodian.
create function tocsin.refuse_change_of_others() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  if current_user <> 'tocsin_custodian' then
    raise exception 'tocsin.% is only ever added to', tg_table_name using errcode = 'integrity_constraint_violation';
  end if;
  return null;
end $$;
revoke execute on function tocsin.refuse_change_of_others() from public;

-- What is linked is changed by nobody; of what is not, nothing but what had the places.
create function tocsin.refuse_change_of_linked() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  if not old.before_chains or position('lat_e6'::bytea in new.payload) > 0 or new.event::text like '%lat_e6%'
    or (to_jsonb(new) - array['payload', 'event']) is distinct from (to_jsonb(old) - array['payload', 'event']) then
    raise exception 'tocsin.% is only ever added to', tg_table_name using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $$;
revoke execute on function tocsin.refuse_change_of_linked() from public;

drop trigger ruling_append_only on tocsin.ruling;
create trigger ruling_append_only before truncate on tocsin.ruling
  for each statement execute function tocsin.refuse_change();
create trigger ruling_changed_by_custodian before update on tocsin.ruling
  for each statement execute function tocsin.refuse_change_of_others();
create trigger ruling_blanked_only before update on tocsin.ruling
  for each row execute function tocsin.refuse_change_of_linked();

-- To the roles that there are; an administrator who makes them later still calls ``grant_parts``.
alter function tocsin.grant_parts() rename to grant_parts_of_0012;
create function tocsin.grant_parts() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform tocsin.grant_parts_of_0012();
  if exists (select from pg_roles where rolname = 'tocsin_custodian') then
    grant update (payload, event) on tocsin.ruling to tocsin_custodian;
    grant update (noun) on tocsin.episode to tocsin_custodian;
    grant select on tocsin.measure, tocsin.measure_version to tocsin_custodian;
    grant update (zones, authorised) on tocsin.measure, tocsin.measure_version to tocsin_custodian;
    grant select, delete on tocsin.past_incursion to tocsin_custodian;
  end if;
end $$;
revoke execute on function tocsin.grant_parts() from public;
select tocsin.grant_parts();
