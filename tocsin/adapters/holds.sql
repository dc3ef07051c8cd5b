-- Holds and leaves. One is placed once and lifted once.

-- name: since
-- From when on the history is needed for it; null: there is no such thing.
select case %(what)s
  when 'measure' then (select valid_from from tocsin.measure where id = %(subject)s)
  when 'device' then (select created_at from tocsin.device where id = %(subject)s)
  else (select least(opened_at - interval '24 hours',
      (select min(valid_from) from tocsin.measure where id = any(measures)))
    from tocsin.episode where id = %(subject)s)
  end

-- name: place
insert into tocsin.hold (id, kind, what, subject, since, reason, authority, placed_by, placed_at)
values (%(id)s, %(kind)s, %(what)s, %(subject)s, %(since)s, %(reason)s, %(authority)s, %(by)s, %(at)s)
on conflict (id) do nothing

-- name: lift
update tocsin.hold set lifted_by = %(by)s, lifted_at = %(at)s, lifted_because = %(because)s
where id = %(id)s and lifted_at is null

-- name: holds
select id, kind, what, subject, reason, authority, placed_by, placed_at, lifted_by, lifted_at, lifted_because
from tocsin.hold where (%(all)s or lifted_at is null) and (%(id)s::text is null or id = %(id)s) order by number
