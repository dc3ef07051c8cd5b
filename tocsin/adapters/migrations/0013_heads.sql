-- What is published of the chains once a day (ARCHITECTURE, A13; tocsin/heads.py says how the hashes are made).

create table tocsin.head (
  number bigint primary key check (number >= 1),
  day date not null,  -- UTC
  at timestamptz not null,
  previous bytea not null,
  root bytea not null,
  leaves bigint not null,
  hash bytea not null
);

-- Where each chain stood that had grown; ``position`` from 0, in the order of the names as bytes.
create table tocsin.head_leaf (
  head bigint not null,
  position bigint not null,
  chain text not null,
  length bigint not null,
  hash bytea not null,
  primary key (head, position),
  unique (chain, head)
);

-- Which heads have left, and for where: a file, or the host of a webhook.
create table tocsin.head_published (
  head bigint not null,
  place text not null,
  at timestamptz not null,
  primary key (place, head)
);

create trigger head_append_only before update or delete or truncate on tocsin.head
  for each statement execute function tocsin.refuse_change();
create trigger head_leaf_append_only before update or delete or truncate on tocsin.head_leaf
  for each statement execute function tocsin.refuse_change();
create trigger head_published_append_only before update or delete or truncate on tocsin.head_published
  for each statement execute function tocsin.refuse_change();
