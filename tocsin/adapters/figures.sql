-- Figures over a window of time. Every bound is a parameter; nothing reads now(). What nobody was told of (allowed by
-- the order, explained by an incident) is no alarm, and a canary is nobody's (tocsin/model/canary.py; as in
-- alarm_load.sql): what fails of one, SYS_CANARY_FAIL, rang humans and is counted.

-- name: alarms_by_slot
-- Each time that operators were told, by slots of so many seconds from the beginning. An alert that was opened before
-- `opened_from` and is raised again in the window is not looked for.
select floor(extract(epoch from told.at - %(from)s) / %(slot_s)s)::bigint as slot, told.priority, count(*)
from (
  select episode.priority, to_timestamp((raising ->> 'at_ms')::bigint / 1000.0) as at
  from tocsin.episode cross join lateral jsonb_array_elements(noun -> 'raises') as raising
  where opened_at >= %(opened_from)s and opened_at < %(to)s and priority <= %(priority_max)s
    and not coalesce((noun ->> 'authorised')::boolean, false) and state <> 'folded'
    and not {canarys}) as told
where told.at >= %(from)s and told.at < %(to)s
group by 1, 2
order by 1, 2

-- name: repeated
-- The alerts that were raised often enough to chatter, with the hours of their raisings.
select id, code, subject,
  (select array_agg((raising ->> 'at_ms')::bigint) from jsonb_array_elements(noun -> 'raises') as raising)
from tocsin.episode
where opened_at >= %(from)s and opened_at < %(to)s and jsonb_array_length(noun -> 'raises') >= %(raises)s
  and not coalesce((noun ->> 'authorised')::boolean, false) and state <> 'folded'
  and not {canarys}
order by jsonb_array_length(noun -> 'raises') desc, id
limit %(limit)s

-- name: standing
-- Alerts that stood open for `stands_s` or longer within the window, by priority.
select priority, count(*)
from tocsin.episode
where opened_at >= %(opened_from)s and opened_at < %(to)s
  and least(coalesce(closed_at, %(to)s), %(to)s) - greatest(opened_at, %(from)s) >= %(stands_s)s * interval '1 second'
  and not coalesce((noun ->> 'authorised')::boolean, false) and state <> 'folded'
  and not {canarys}
group by priority
order by priority

-- name: stages
-- Milliseconds between the clock points of the alerts opened in the window: percentiles that were measured.
with alert as (
  select priority, points, (noun ->> 'handed_off_ms')::bigint as t10, closed_at, recorded_at
  from tocsin.episode
  where opened_at >= %(from)s and opened_at < %(to)s
    and not coalesce((noun ->> 'authorised')::boolean, false) and state <> 'folded'
    and not {canarys}),
hour as (
  select priority, (points ->> 't1_ms')::bigint as t1, (points ->> 't3_ms')::bigint as t3,
    (points ->> 't5_ms')::bigint as t5, (points ->> 't6_ms')::bigint as t6, (points ->> 't7_ms')::bigint as t7,
    (points ->> 't8_ms')::bigint as t8, (points ->> 't9_ms')::bigint as t9, t10,
    (extract(epoch from closed_at) * 1000)::bigint as t14
  from alert)
select priority, stage, count(*), percentile_disc(%(shares)s::float8[]) within group (order by ms)
from hour cross join lateral (values
  ('t1_t3', t3 - t1), ('t3_t5', t5 - t3), ('t5_t6', t6 - t5), ('t6_t7', t7 - t6), ('t3_t8', t8 - t3),
  ('t1_t8', t8 - t1), ('t8_t9', t9 - t8), ('t9_t10', t10 - t9), ('t6_t14', t14 - t6)) as between_two (stage, ms)
where ms is not null
group by priority, stage
order by priority, stage

-- name: slowest
select id, code, priority, (points ->> 't8_ms')::bigint - (points ->> 't3_ms')::bigint as t3_t8
from tocsin.episode
where opened_at >= %(from)s and opened_at < %(to)s
  and (points ->> 't8_ms')::bigint - (points ->> 't3_ms')::bigint is not null
  and not {canarys}
order by t3_t8 desc, id
limit %(limit)s

-- name: shown_her
-- The alerts of one measure that her unit has shown.
select distinct notification.episode
from tocsin.notification join tocsin.episode on episode.id = notification.episode
where %(measure)s = any(measures) and opened_at >= %(from)s and opened_at < %(to)s
  and notification.channel = 'unit' and notification.type = 'org.tocsin.protection.alert'
