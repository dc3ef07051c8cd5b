-- The places and hours that the judge named, as the nouns of tocsin.model.geozone in JSON: they are read and written
-- whole, with their measure, and nobody asks the record where a place is. Null: nothing is authorised.

alter table tocsin.measure
  add column zones jsonb not null default '[]' check (jsonb_typeof(zones) = 'array'),
  add column authorised jsonb;

alter table tocsin.measure_version
  add column zones jsonb not null default '[]' check (jsonb_typeof(zones) = 'array'),
  add column authorised jsonb;
