-- name: connections
select count(*)::bigint, current_setting('max_connections')::bigint
  from pg_stat_activity where backend_type = 'client backend'

-- name: fullest_sequence
-- How near its end is the fullest of all sequences? The end is the narrower of the sequence's and its column's (F01:
-- 2^31 rows and an int column blinded 49 states for twelve hours).
select used, bound
  from (
    select coalesce(pg_sequence_last_value(sequence.seqrelid), 0)::float8 as used,
           least(sequence.seqmax, case attribute.atttypid
             when 'int2'::regtype then 32767
             when 'int4'::regtype then 2147483647
             else 9223372036854775807 end)::float8 as bound
      from pg_sequence as sequence
      left join pg_depend as owned
        on owned.classid = 'pg_class'::regclass and owned.objid = sequence.seqrelid
       and owned.refclassid = 'pg_class'::regclass and owned.deptype in ('a', 'i') and owned.refobjsubid > 0
      left join pg_attribute as attribute
        on attribute.attrelid = owned.refobjid and attribute.attnum = owned.refobjsubid
  ) as sequences
 order by used / bound desc
 limit 1

-- name: hour
select clock_timestamp()
