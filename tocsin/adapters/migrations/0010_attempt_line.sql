-- Which line an attempt went out by: several of one notification are tried side by side, and two of them may make
-- their first attempt in the same millisecond. Empty: written before there was more than one.

alter table tocsin.attempt
  add column line text not null default '',
  drop constraint attempt_pkey,
  add primary key (notification, attempt, t7, line);
