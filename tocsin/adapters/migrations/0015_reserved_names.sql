-- From here on a unit or a measure called canary-… is an invented one (tocsin/model/canary.py), and its alerts go to
-- nobody. This file is applied before the first canary is made: whoever bears such a name now is somebody's.
do $$
declare
  theirs text;
begin
  select string_agg(id, ', ' order by id) into theirs from (
    select id from tocsin.device union all select id from tocsin.measure) as named
  where id ~ '^canary-';
  if theirs is not null then
    raise exception 'names that begin with canary- are reserved: %', theirs
      using hint = 'give these units and measures other names before the upgrade: their alerts would go to nobody';
  end if;
end $$;
