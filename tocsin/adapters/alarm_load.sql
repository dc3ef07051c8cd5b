-- How many alerts, of what, about how many pairs, over which time? Both bounds are parameters; nothing reads now().
-- Of a canary nothing is counted: neither its alerts, which nobody sees, nor its measure (tocsin/model/canary.py).

-- name: by_code
-- What a person was told of: neither what an order allowed nor what an incident explains. An alert counts in the
-- window in which it was opened; its raisings are those that its newest ruling remembers.
select code, priority,
  count(*) as alerts,
  sum(jsonb_array_length(noun -> 'raises')) as raisings,
  count(*) filter (where outcome in ('false_alarm', 'technical')) as unfounded,
  count(*) filter (where state <> 'closed') as still_open
from tocsin.episode
where opened_at >= %(from)s and opened_at < %(to)s
  and not coalesce((noun ->> 'authorised')::boolean, false) and state <> 'folded'
  and not {canarys}
group by code, priority
order by priority, alerts desc, code

-- name: pair_days
select coalesce(sum(extract(epoch from
    least(coalesce(ended_at, valid_until), valid_until, %(to)s) - greatest(valid_from, %(from)s))), 0) / 86400,
  count(*)
from tocsin.measure
where id !~ '^canary-[0-9]'
  and valid_from < %(to)s and least(coalesce(ended_at, valid_until), valid_until) > %(from)s

-- name: false_calls
-- Her unit was told of an alert that a human then called false, or technical (F16, F18): how often, for whom.
select measure, count(distinct episode.id) as calls
from tocsin.episode
cross join lateral unnest(episode.measures) as measure
where opened_at >= %(from)s and opened_at < %(to)s
  and outcome in ('false_alarm', 'technical')
  and measure !~ '^canary-[0-9]'
  and exists (
    select from tocsin.notification
    where notification.episode = episode.id and notification.channel = 'unit'
      and notification.type = 'org.tocsin.protection.alert')
group by measure
order by calls desc, measure
limit %(limit)s

-- name: sources
-- Who rings most: the measure or device behind the most raisings.
select code, subject, count(*) as alerts, sum(jsonb_array_length(noun -> 'raises')) as raisings
from tocsin.episode
where opened_at >= %(from)s and opened_at < %(to)s
  and not coalesce((noun ->> 'authorised')::boolean, false) and state <> 'folded'
  and not {canarys}
group by code, subject
order by raisings desc, code, subject
limit %(limit)s
