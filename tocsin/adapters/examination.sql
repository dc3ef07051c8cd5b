-- The whole record, read as it stands at one moment, in pieces. Nothing here changes anything.
-- %(chain)s: only that chain; null: all of them.

-- name: begin
set transaction isolation level repeatable read read only

-- name: take_time
-- A run over years of alerts takes its time; whoever runs it can stop it.
set local statement_timeout = 0

-- name: size
select count(*) from tocsin.link where %(chain)s::text is null or chain = %(chain)s

-- name: links
select link.chain, link.number, link.kind, link.kept_as, link.source, link.at, link.commitment, link.previous,
  link.hash, opened.salt, opened.payload
from tocsin.link as link
left join tocsin.opened as opened on opened.chain = link.chain and opened.number = link.number
where %(chain)s::text is null or link.chain = %(chain)s
order by link.chain, link.number

-- name: orphans
-- Payloads without a link.
select chain, number from tocsin.opened as opened
where (%(chain)s::text is null or chain = %(chain)s)
  and not exists (select from tocsin.link as link where link.chain = opened.chain and link.number = opened.number)
order by chain, number

-- name: ends
-- Each chain's cursor beside its last link; either may be missing.
select coalesce(cursor.name, last.chain), cursor.length, cursor.hash, last.number, last.hash
from tocsin.chain as cursor
full join (
  select distinct on (chain) chain, number, hash from tocsin.link order by chain, number desc) as last
  on last.chain = cursor.name
where %(chain)s::text is null or coalesce(cursor.name, last.chain) = %(chain)s
order by 1

-- name: proofs
select link.chain, link.number, link.kind, link.kept_as, link.source, link.at, link.commitment, link.previous,
  link.hash, opened.salt, opened.payload
from tocsin.link as link
join tocsin.opened as opened on opened.chain = link.chain and opened.number = link.number
where link.chain = %s and link.kept_as = 'proof'
order by link.number

-- name: imported
select chain from tocsin.imported_head

-- name: imported_chains
-- With those of packages that came without a head: none was published yet.
select chain from tocsin.imported_chain union select chain from tocsin.imported_head

-- name: heads
select number, day::text, at, previous, root, leaves, hash from tocsin.head order by number

-- name: leaves
select chain, length, hash from tocsin.head_leaf where head = %s order by position

-- name: stray_leaves
select distinct head from tocsin.head_leaf as leaf
where not exists (select from tocsin.head where number = leaf.head) order by head

-- name: published
select place, head from tocsin.head_published order by place, head

-- name: covered
select chain, head, length from tocsin.head_leaf where chain = any(%s) order by chain, length

-- name: footings
-- Each leaf of each head beside the link that it stands on, and the end of its chain.
select leaf.head, leaf.chain, leaf.length, leaf.hash, link.hash, ending.number
from tocsin.head_leaf as leaf
left join tocsin.link as link on link.chain = leaf.chain and link.number = leaf.length
left join (select chain, max(number) as number from tocsin.link group by chain) as ending
  on ending.chain = leaf.chain
where (%(chain)s::text is null or leaf.chain = %(chain)s)
  and (link.hash is null or link.hash <> leaf.hash)
order by leaf.head, leaf.position

-- name: leaf_count
select count(*) from tocsin.head_leaf where %(chain)s::text is null or chain = %(chain)s

-- name: rulings
select episode, stream_sequence, code, subject, version, reason, event::text, at, payload
from tocsin.ruling
where (episode, stream_sequence) in (select * from unnest(%(names)s::text[], %(numbers)s::bigint[]))

-- name: attempts
select notification, attempt, t7, line, t8, episode, version, channel, result, status
from tocsin.attempt
where (notification, attempt, t7, line) in (
  select * from unnest(%(names)s::text[], %(numbers)s::bigint[], %(hours)s::timestamptz[], %(lines)s::text[]))

-- name: accesses
select id, stream_sequence, at, who, service, role, what, objects, purpose, places
from tocsin.access where id = any(%(names)s)

-- name: notifications
select id, episode, version, channel, type, created_at, stream_sequence
from tocsin.notification where id = any(%(names)s)

-- name: has_table
select to_regclass('tocsin.' || %s) is not null

-- name: commands
select device, stream_sequence, id, action, at, expires_at, said_by, payload from tocsin.command
where (device, stream_sequence, id) in (
  select * from unnest(%(names)s::text[], %(numbers)s::bigint[], %(ids)s::text[]))

-- name: results
select device, stream_sequence, command, stage, at, reason, payload from tocsin.result
where (device, stream_sequence, command, stage) in (
  select * from unnest(%(names)s::text[], %(numbers)s::bigint[], %(ids)s::text[], %(stages)s::text[]))

-- name: orders
select measure, version, wearer, protected, alert_distance_m, valid_from, valid_until, zones, authorised
from tocsin.measure_version
where (measure, version) in (select * from unnest(%(names)s::text[], %(numbers)s::bigint[]))

-- name: holds
-- One row for each step of it that was asked for.
select hold.id, asked.step, kind, what, subject, reason, authority, placed_by, placed_at, lifted_by, lifted_at,
  lifted_because
from unnest(%(names)s::text[], %(numbers)s::text[]) as asked (id, step) join tocsin.hold on hold.id = asked.id

-- name: unlinked_orders
-- A measure that waits for its projector is linked with the next look of it.
select row.measure, row.version from tocsin.measure_version as row
where (%(chain)s::text is null or 'measure/' || row.measure = %(chain)s)
  and not exists (select from tocsin.outbox where key = row.measure)
  and not exists (
    select from tocsin.link as link
    where link.chain = 'measure/' || row.measure and link.source = 'order:' || row.version)
order by row.measure, row.version

-- name: unlinked_holds
select row.id, step from tocsin.hold as row, unnest(array['placed', 'lifted']) as step
where (step = 'placed' or row.lifted_at is not null)
  and (%(chain)s::text is null
    or case row.what when 'alert' then 'episode' else row.what end || '/' || row.subject = %(chain)s)
  and not exists (
    select from tocsin.link as link
    where link.chain = case row.what when 'alert' then 'episode' else row.what end || '/' || row.subject
      and link.source = 'hold:' || row.id || ':' || step)
order by row.id, step desc

-- name: measures
-- What the geofence is given, where it is not what its newest version says.
select measure.id from tocsin.measure left join tocsin.measure_version as v on v.measure = measure.id
  and v.version = (select max(version) from tocsin.measure_version where measure = measure.id)
where (%(chain)s::text is null or 'measure/' || measure.id = %(chain)s)
  and (measure.version, measure.wearer, measure.protected, measure.alert_distance_m, measure.valid_from,
    measure.valid_until, measure.zones, measure.authorised) is distinct from
    (v.version, v.wearer, v.protected, v.alert_distance_m, v.valid_from, v.valid_until, v.zones, v.authorised)
order by measure.id

-- name: gone_measures
-- That have been ordered, and of which neither the row is left nor a word of its erasure.
select substr(cursor.name, 9) from tocsin.chain as cursor
where starts_with(cursor.name, 'measure/') and (%(chain)s::text is null or cursor.name = %(chain)s)
  and exists (select from tocsin.link where link.chain = cursor.name and link.kind = 'order')
  and not exists (select from tocsin.measure where id = substr(cursor.name, 9))
  and not exists (select from tocsin.erased where what = 'measure' and id = substr(cursor.name, 9))
  and not exists (select from tocsin.imported_head as known where known.chain = cursor.name)
  and not exists (select from tocsin.imported_chain as known where known.chain = cursor.name)
order by 1

-- name: odd_erased
-- Names of what is said to be gone, that no link says so of, or that are there again.
select gone.what, gone.id, link.number is not null from tocsin.erased as gone
left join tocsin.link as link on link.chain = gone.what || '/' || gone.id and link.source = 'deletion:row'
where (%(chain)s::text is null or gone.what || '/' || gone.id = %(chain)s)
  and (link.number is null
    or exists (select from tocsin.measure where gone.what = 'measure' and measure.id = gone.id)
    or exists (select from tocsin.device where gone.what = 'device' and device.id = gone.id))
order by 1, 2

-- name: is_erased
select from tocsin.erased where what = %s and id = %s

-- name: left_of_history
-- Whether any table has positions of a unit, which may be gone itself, in hours that are said to be erased.
with unit as (
  select number from tocsin.device where id = %(unit)s
  union select number from tocsin.erased where what = 'device' and id = %(unit)s and number is not null)
select where exists (
    select from tocsin.fixes
    where device_number in (select number from unit) and measured_at >= %(from)s and measured_at < %(until)s)
  or exists (
    select from tocsin.fixes_astray
    where device_number in (select number from unit) and received_at >= %(from)s and received_at < %(until)s)
  or exists (
    select from tocsin.fixes_hourly
    where device_number in (select number from unit) and hour >= %(from)s and hour <= %(until)s - interval '1 hour')

-- name: unlinked_rulings
-- What to_jsonb says of before_chains: null where the column is not there.
select row.episode, row.stream_sequence, row.payload, to_jsonb(row) ->> 'before_chains'
from tocsin.ruling as row
where (%(chain)s::text is null or 'episode/' || row.episode = %(chain)s)
  and not exists (
    select from tocsin.link as link
    where link.chain = 'episode/' || row.episode and link.source = 'ruling:' || row.stream_sequence)
order by row.episode, row.stream_sequence

-- name: unlinked_attempts
-- With what the episode is about: those of a canary are not linked.
select row.notification, row.attempt, row.t7, row.line, alert.noun::text, to_jsonb(row) ->> 'before_chains'
from tocsin.attempt as row
left join tocsin.episode as alert on alert.id = row.episode
where (%(chain)s::text is null or 'episode/' || row.episode = %(chain)s)
  and not exists (
    select from tocsin.link as link
    where link.chain = 'episode/' || row.episode
      and link.source = 'attempt:' || row.notification || ':' || row.attempt || ':'
        || (extract(epoch from row.t7) * 1000)::bigint || ':' || row.line)
order by row.notification, row.attempt, row.t7, row.line

-- name: to_link
-- What was kept without a link by the rule of before 0018, and has none yet.
select chain, source from tocsin.to_link
where (%(chain)s::text is null or chain = %(chain)s)
  and not exists (select from tocsin.link where link.chain = to_link.chain and link.source = to_link.source)

-- name: listed_until
select applied_at from tocsin.migration where number = 18

-- name: to_link_of_before
-- The same of a record in which 0018 has listed nothing yet: what it would list.
with about as (
  select id from tocsin.episode
  where code ~ '^SYS_'
    and (subject ~ '^canary-[0-9]+(-[wv])?$' or device ~ '^canary-[0-9]+(-[wv])?$'
      or (measures <> '{}'
        and not exists (select from unnest(measures) as one where one !~ '^canary-[0-9]+(-[wv])?$')))),
  kept as (
    select 'episode/' || episode as chain, 'ruling:' || stream_sequence as source
    from tocsin.ruling as row
    where episode in (select id from about) and to_jsonb(row) ->> 'before_chains' = 'false'
    union
    select 'episode/' || episode, 'attempt:' || notification || ':' || attempt || ':'
      || (extract(epoch from t7) * 1000)::bigint || ':' || line
    from tocsin.attempt as row
    where episode in (select id from about) and to_jsonb(row) ->> 'before_chains' = 'false')
select chain, source from kept
where (%(chain)s::text is null or chain = %(chain)s)
  and not exists (select from tocsin.link where link.chain = kept.chain and link.source = kept.source)

-- name: unlinked_accesses
select row.id, to_jsonb(row) ->> 'before_chains' from tocsin.access as row
where (%(chain)s::text is null or 'accesses/' || to_char(row.at at time zone 'UTC', 'YYYY-MM-DD') = %(chain)s)
  and not exists (
    select from tocsin.link as link
    where link.chain = 'accesses/' || to_char(row.at at time zone 'UTC', 'YYYY-MM-DD')
      and link.source = 'access:' || row.id)
order by row.id

-- name: unlinked_commands
select row.device, row.stream_sequence, row.id from tocsin.command as row
where (%(chain)s::text is null or 'device/' || row.device = %(chain)s)
  and not exists (
    select from tocsin.link as link
    where link.chain = 'device/' || row.device and link.source = 'command:' || row.stream_sequence || ':' || row.id)
order by row.device, row.stream_sequence, row.id

-- name: unlinked_results
select row.device, row.stream_sequence, row.command, row.stage from tocsin.result as row
where (%(chain)s::text is null or 'device/' || row.device = %(chain)s)
  and not exists (
    select from tocsin.link as link
    where link.chain = 'device/' || row.device
      and link.source = 'result:' || row.stream_sequence || ':' || row.command || ':' || row.stage)
order by row.device, row.stream_sequence, row.command, row.stage

-- name: episodes
-- Beside the newest ruling of each; either may be missing.
select coalesce(alert.id, newest.episode), newest.stream_sequence, newest.payload,
  alert.id is not null, alert.code, alert.subject, alert.realm, alert.priority, alert.state, alert.version,
  alert.owner, alert.outcome, alert.measures, alert.device, alert.opened_at, alert.recorded_at,
  alert.acknowledged_at, alert.over_at, alert.closed_at, alert.points::text, alert.noun::text, alert.last_sequence
from tocsin.episode as alert
full join (
  select distinct on (episode) episode, stream_sequence, payload
  from tocsin.ruling order by episode, stream_sequence desc) as newest
  on newest.episode = alert.id
where %(chain)s::text is null or 'episode/' || coalesce(alert.id, newest.episode) = %(chain)s
order by 1

-- name: told
-- Each notification beside the ruling that it names.
select told.id, told.episode, told.version, told.channel, told.type, told.created_at, told.stream_sequence,
  ruling.payload
from tocsin.notification as told
left join tocsin.ruling as ruling
  on ruling.episode = told.episode and ruling.stream_sequence = told.stream_sequence
where %(chain)s::text is null or 'episode/' || told.episode = %(chain)s
order by told.episode, told.stream_sequence, told.id
