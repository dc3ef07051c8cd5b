-- A device that was lost, returned or stolen: it may not speak, and its name is never given again, since the history of
-- fixes and of measures names it. Its password goes with it: an entry without one is nobody's login.

alter table tocsin.device
  add column revoked_at timestamptz,
  add column revoked_by text,
  add constraint device_revoked_by_somebody check ((revoked_at is null) = (revoked_by is null));
