-- The chains of the record. Every statement may be repeated: what is linked already is not linked twice.

-- name: begin_chains
insert into tocsin.chain (name, length, hash)
select name, 0, %(start)s from unnest(%(names)b::text[]) as name order by name
on conflict do nothing

-- name: lock_chains
select name, length, hash, at from tocsin.chain where name = any(%(names)s) order by name for update

-- name: known_sources
select chain, source from tocsin.link
where (chain, source) in (select * from unnest(%(chains)b::text[], %(sources)b::text[]))

-- name: keep_links
insert into tocsin.link (chain, number, kind, kept_as, source, at, commitment, previous, hash)
select * from unnest(
  %(chains)b::text[], %(numbers)b::bigint[], %(kinds)b::text[], %(kept_as)b::text[], %(sources)b::text[],
  %(hours)b::timestamptz[], %(commitments)b::bytea[], %(previous)b::bytea[], %(hashes)b::bytea[])

-- name: keep_opened
insert into tocsin.opened (chain, number, salt, payload)
select * from unnest(%(chains)b::text[], %(numbers)b::bigint[], %(salts)b::bytea[], %(payloads)b::bytea[])

-- name: move_chains
update tocsin.chain set length = moved.length, hash = moved.hash, at = moved.at
from unnest(%(names)b::text[], %(lengths)b::bigint[], %(hashes)b::bytea[], %(hours)b::timestamptz[])
  as moved (name, length, hash, at)
where chain.name = moved.name

-- name: links
select chain, number, kind, kept_as, source, at, commitment, previous, hash
from tocsin.link where chain = %(chain)s and number > %(after)s and number <= %(until)s order by number

-- name: opened
select number, salt, payload from tocsin.opened
where chain = %(chain)s and number > %(after)s and number <= %(until)s order by number
