-- What an auditor reads of the chains, of accesses and of heads, in pages. Nothing here writes.

-- name: one_moment
set transaction isolation level repeatable read read only

-- name: entries
select chain, number, kind, kept_as, source, at, commitment, previous, hash, exists (
  select from tocsin.opened where opened.chain = link.chain and opened.number = link.number)
from tocsin.link as link
where (chain, number) > (%(chain)s, %(number)s)
order by chain, number
limit %(limit)s

-- name: entries_of_chain
select chain, number, kind, kept_as, source, at, commitment, previous, hash, exists (
  select from tocsin.opened where opened.chain = link.chain and opened.number = link.number)
from tocsin.link as link
where chain = %(of)s and number > %(number)s and at >= %(from)s and at < %(until)s
order by number
limit %(limit)s

-- name: entries_of_day
-- By the classes, all of them: the index over classes and hours has every link.
select chain, number, kind, kept_as, source, at, commitment, previous, hash, exists (
  select from tocsin.opened where opened.chain = link.chain and opened.number = link.number)
from tocsin.link as link
where kept_as = any(%(classes)s) and at >= %(from)s and at < %(until)s
  and (chain, number) > (%(chain)s, %(number)s)
order by chain, number
limit %(limit)s

-- name: accesses
select stream_sequence, id, at, who, service, role, what, objects, purpose, places
from tocsin.access
where at >= %(from)s and at < %(until)s and (at, stream_sequence, id) < (%(at)s, %(sequence)s, %(id)s)
  and (%(who)s = '' or who = %(who)s)
order by at desc, stream_sequence desc, id desc
limit %(limit)s

-- name: accesses_to
select stream_sequence, id, at, who, service, role, what, objects, purpose, places
from tocsin.access
where objects @> array[%(object)s::text]
  and at >= %(from)s and at < %(until)s and (at, stream_sequence, id) < (%(at)s, %(sequence)s, %(id)s)
  and (%(who)s = '' or who = %(who)s)
order by at desc, stream_sequence desc, id desc
limit %(limit)s

-- name: head_upto
select number, day::text, at, previous, root, leaves, hash
from tocsin.head where day <= %s order by number desc limit 1

-- name: heads_between
select number, day::text, at, previous, root, leaves, hash
from tocsin.head where number > %(after)s and number <= %(until)s order by number limit %(limit)s

-- name: newest_cover
-- Where the chain stood in the newest of these heads that it is in.
select head, position, length from tocsin.head_leaf
where chain = %(chain)s and head <= %(until)s order by head desc limit 1

-- name: first_cover
-- The first of these heads that has this link below it.
select head, position, length from tocsin.head_leaf
where chain = %(chain)s and head <= %(until)s and length >= %(number)s order by head limit 1
