-- A device that takes no orders about how often it reports: a phone with an app of its own. Null: it is told.

alter table tocsin.device
  add column reports_every_s int,
  add constraint device_reports_every check (reports_every_s between 1 and 3600);
