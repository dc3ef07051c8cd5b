-- The heads of the record. Only ever added to.

-- name: one_at_a_time
-- Before the snapshot of the transaction is taken: what the other one has made is seen.
lock table tocsin.head in share row exclusive mode

-- name: one_moment
set transaction isolation level repeatable read

-- name: take_time
-- Once a day, over all chains.
set local statement_timeout = '10min'

-- name: last_head
select number, day::text, at, previous, root, leaves, hash from tocsin.head order by number desc limit 1

-- name: grown
select chain.name, chain.length, chain.hash
from tocsin.chain as chain
left join (select chain, max(length) as length from tocsin.head_leaf group by chain) as known
  on known.chain = chain.name
where chain.length > coalesce(known.length, 0)
order by chain.name collate "C"

-- name: keep_head
insert into tocsin.head (number, day, at, previous, root, leaves, hash) values (%s, %s, %s, %s, %s, %s, %s)

-- name: keep_leaf
insert into tocsin.head_leaf (head, position, chain, length, hash) values (%s, %s, %s, %s, %s)

-- name: heads
select number, day::text, at, previous, root, leaves, hash from tocsin.head order by number

-- name: leaves
select chain, length, hash from tocsin.head_leaf where head = %s order by position

-- name: newest_of
select distinct on (leaf.chain) leaf.chain, leaf.head, leaf.position
from tocsin.head_leaf as leaf
where leaf.chain = any(%s)
order by leaf.chain, leaf.head desc

-- name: head
select number, day::text, at, previous, root, leaves, hash from tocsin.head where number = %s

-- name: unpublished
select number, day::text, at, previous, root, leaves, hash
from tocsin.head
where not exists (
  select from tocsin.head_published as told where told.head = head.number and told.place = %(place)s)
order by number
limit %(limit)s

-- name: published_at
select head from tocsin.head_published where place = %s

-- name: note_published
insert into tocsin.head_published (head, place, at) values (%s, %s, %s) on conflict do nothing
