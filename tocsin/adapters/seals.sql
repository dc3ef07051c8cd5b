-- The chains of the record. Every statement may be repeated: what is linked already is not linked twice.

-- name: begin_chains
insert into tocsin.chain (name, length, hash)
select name, 0, %(start)s from unnest(%(names)s::text[]) as name order by name
on conflict do nothing

-- name: lock_chains
select name, length, hash from tocsin.chain where name = any(%(names)s) order by name for update

-- name: known_sources
select chain, source from tocsin.link
where (chain, source) in (select * from unnest(%(chains)s::text[], %(sources)s::text[]))

-- name: keep_link
insert into tocsin.link (chain, number, kind, kept_as, source, at, commitment, previous, hash)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: keep_opened
insert into tocsin.opened (chain, number, salt, payload) values (%s, %s, %s, %s)

-- name: move_chain
update tocsin.chain set length = %s, hash = %s where name = %s

-- name: links
select chain, number, kind, kept_as, source, at, commitment, previous, hash
from tocsin.link where chain = %(chain)s and number > %(after)s and number <= %(until)s order by number

-- name: opened
select number, salt, payload from tocsin.opened
where chain = %(chain)s and number > %(after)s and number <= %(until)s order by number
