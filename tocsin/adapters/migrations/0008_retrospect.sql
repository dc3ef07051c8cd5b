-- What fixes that came late prove, and where they have still to be looked at.

-- A quarter of an hour of a device in which the history got fixes that came late. Written in the transaction that
-- keeps these fixes; ``revision`` tells whoever has looked whether more has come meanwhile.
create table tocsin.retrospect_due (
  device_number bigint not null,
  slot timestamptz not null,
  until_at timestamptz not null,     -- the newest of the late fixes
  received_at timestamptz not null,  -- when the newest of them came ...
  noted_at timestamptz not null,     -- ... and the first
  revision bigint not null default 1,
  primary key (device_number, slot)
);
create index retrospect_due_slot on tocsin.retrospect_due (slot);

-- Everything that was ever said of the past of a measure. ``finding`` is what was said, as on the log; ``told``: the
-- log has it. Last version: neither superseded nor itself a withdrawal; ``withdrawn``: taken back, and by nothing else.
create table tocsin.past_incursion (
  id text primary key,
  measure text not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  said_at timestamptz not null,
  corrects text,
  withdrawal boolean not null,
  superseded boolean not null default false,
  withdrawn boolean not null default false,
  told boolean not null default false,
  number bigint generated always as identity unique,
  finding bytea not null
);
create index past_incursion_measure on tocsin.past_incursion (measure, first_at);
create index past_incursion_untold on tocsin.past_incursion (number) where not told;
create index episode_subject on tocsin.episode (code, subject);
