-- What many devices may lose together (F05): who carries their messages, through which door, where, with what software.
-- Null: nobody said; such a device belongs to the whole fleet and to no group of it.

alter table tocsin.device
  add column carrier text,
  add column apn text,
  add column region text,
  add column firmware text,
  add constraint device_traits check (
    length(carrier) between 1 and 64 and length(apn) between 1 and 64
    and length(region) between 1 and 64 and length(firmware) between 1 and 64);
