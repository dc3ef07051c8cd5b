-- Who has read what. A redelivered message changes nothing.

-- name: keep_access
insert into tocsin.access (id, stream_sequence, at, who, service, role, what, objects, purpose, places)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (id) do nothing

-- name: accesses_to
select stream_sequence, id, at, who, service, role, what, objects, purpose, places
from tocsin.access
where objects @> array[%s::text]
order by at, stream_sequence
limit %s
