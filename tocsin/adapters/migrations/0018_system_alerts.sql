-- Before this file an alert that the system raised about a canary (SYS_CANARY_FAIL, of canary-3) was taken for a
-- canary's: kept for a day, and never linked. Humans are told of it: from here on it is linked and kept like any
-- other (tocsin/model/canary.py, docs/adr/0050).

-- What there is of these now, by chain and source, as their links will be called. The recorder links each when it
-- next begins, and takes it from here in the same transaction: until then its row has no link and is none too many,
-- and if it is not there it is missed. Nothing else is ever added.
create table tocsin.to_link (
  chain text not null,
  source text not null,
  primary key (chain, source)
);
insert into tocsin.to_link (chain, source)
with about as (
  select id from tocsin.episode
  where code ~ '^SYS_'
    and (subject ~ '^canary-[0-9]+(-[wv])?$' or device ~ '^canary-[0-9]+(-[wv])?$'
      or (measures <> '{}'
        and not exists (select from unnest(measures) as one where one !~ '^canary-[0-9]+(-[wv])?$')))),
  kept as (
    select 'episode/' || episode as chain, 'ruling:' || stream_sequence as source
    from tocsin.ruling where episode in (select id from about) and not before_chains
    union
    select 'episode/' || episode, 'attempt:' || notification || ':' || attempt || ':'
      || (extract(epoch from t7) * 1000)::bigint || ':' || line
    from tocsin.attempt where episode in (select id from about) and not before_chains)
select chain, source from kept
where not exists (select from tocsin.link where link.chain = kept.chain and link.source = kept.source);

-- To the roles that there are; an administrator who makes them later still calls ``grant_parts``.
alter function tocsin.grant_parts() rename to grant_parts_of_0017;
create function tocsin.grant_parts() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform tocsin.grant_parts_of_0017();
  if exists (select from pg_roles where rolname = 'tocsin_recorder') then
    grant select, delete on tocsin.to_link to tocsin_recorder;
  end if;
end $$;
revoke execute on function tocsin.grant_parts() from public;
select tocsin.grant_parts();
