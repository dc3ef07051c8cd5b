-- What is taken out of the record as evidence, and how evidence from elsewhere comes into it.

-- name: one_moment
set transaction isolation level repeatable read read only

-- name: links
select chain, number, kind, kept_as, source, at, commitment, previous, hash
from tocsin.link where chain = %(chain)s and number > %(after)s and number <= %(until)s order by number limit %(limit)s

-- name: opened
select number, salt, payload from tocsin.opened
where chain = %(chain)s and number > %(after)s and number <= %(until)s order by number limit %(limit)s

-- name: weight
-- How many links and bytes of payloads a stretch has, counted to the limit and no further. No payload is read.
select count(*), coalesce(sum(octet_length(opened.payload)), 0)::bigint
from (
  select chain, number from tocsin.link
  where chain = %(chain)s and number > %(after)s and number <= %(until)s order by number limit %(limit)s
) as counted left join tocsin.opened using (chain, number)

-- name: length
-- Links alone: payloads of which few are kept in memory are weighed as they come.
select count(*) from (
  select from tocsin.link
  where chain = %(chain)s and number > %(after)s and number <= %(until)s order by number limit %(limit)s
) as counted

-- name: span
-- From the first to the last link of a unit that was linked between two hours, or is about an hour between them and
-- was linked later: with the record down what is on the log waits.
select min(link.number), max(link.number)
from tocsin.link left join tocsin.opened using (chain, number)
where link.chain = %(chain)s and link.kind in ('command', 'result') and link.at >= %(from)s and (
  link.at <= %(until)s or case when opened.payload is not null then coalesce(
    convert_from(opened.payload, 'UTF8')::jsonb #>> '{command,at_ms}',
    convert_from(opened.payload, 'UTF8')::jsonb #>> '{status,at_ms}')::bigint <= %(until_ms)s end)

-- name: deletions
select number, payload from tocsin.link join tocsin.opened using (chain, number)
where chain = %s and kind = 'deletion' order by number

-- name: access_days
select distinct to_char(at at time zone 'UTC', 'YYYY-MM-DD') from tocsin.access where objects @> array[%s::text]

-- name: is_imported
select exists (select from tocsin.imported where alert = %s)

-- name: leaves_of
select chain, head, position, length from tocsin.head_leaf where chain = any(%s) order by head, chain collate "C"

-- name: head
select number, day::text, at, previous, root, leaves, hash from tocsin.head where number = %s

-- name: head_leaves
select chain, length, hash from tocsin.head_leaf where head = %s order by position

-- name: imported_heads
select line from tocsin.imported_head where chain = any(%s) order by head, chain collate "C"

-- name: lock_own
-- Nobody links, registers or raises anything between the question whether this instance has anything of its own and
-- the end of the import. Whoever waits goes on behind it.
lock table tocsin.device, tocsin.measure, tocsin.episode, tocsin.chain in share row exclusive mode

-- name: own
-- What an instance for examination has not got: what is watched, and chains and alerts that no package brought.
select (select count(*) from tocsin.device), (select count(*) from tocsin.measure),
  (select count(*) from tocsin.episode where id not in (select alert from tocsin.imported)),
  (select count(*) from tocsin.chain where length > 0 and not starts_with(name, 'accesses/')
    and name not in (select chain from tocsin.imported_chain))

-- name: keep_chains
-- Days of accesses as well: of these a package has a part, and whoever verifies has to know which came so.
insert into tocsin.imported_chain (chain) select unnest(%(names)s::text[]) on conflict do nothing

-- name: begin_chains
insert into tocsin.chain (name, length, hash)
select name, 0, %(start)s from unnest(%(names)s::text[]) as name order by name
on conflict do nothing

-- name: lock_chains
select name from tocsin.chain where name = any(%(names)s) order by name for update

-- name: same_source
-- Links that have one of these sources already, under whatever number.
select source, number from tocsin.link where chain = %(chain)s and source = any(%(sources)s)

-- name: has_alert
select exists (select from tocsin.episode where id = %(alert)s)
  and not exists (select from tocsin.link where chain = %(chain)s)

-- name: keep_link
insert into tocsin.link (chain, number, kind, kept_as, source, at, commitment, previous, hash)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict do nothing

-- name: keep_opened
insert into tocsin.opened (chain, number, salt, payload) values (%s, %s, %s, %s)
on conflict do nothing

-- name: move_chain
-- As far as it is known: to the last link of the newest run.
update tocsin.chain set length = %(length)s, hash = %(hash)s, at = %(at)s where name = %(name)s and length < %(length)s

-- name: keep_head
insert into tocsin.imported_head (chain, head, line) values (%s, %s, %s) on conflict do nothing

-- name: known_head
select line from tocsin.imported_head where chain = %s and head = %s

-- name: keep_import
insert into tocsin.imported (alert, seal, at) values (%s, %s, %s) on conflict do nothing
