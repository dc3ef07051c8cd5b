-- What came in with packages of evidence from another instance (docs/evidence.md). Links, payloads and rows are where
-- those of this instance are; the heads are not: this instance publishes heads of its own, that begin at 1.

create table tocsin.imported (
  alert text primary key,
  seal text not null,  -- of the package, in hexadecimal
  at timestamptz not null
);

-- One head as a line of the package has it, with the proof of one chain.
create table tocsin.imported_head (
  chain text not null,
  head bigint not null,
  line bytea not null,
  primary key (chain, head)
);

create trigger imported_append_only before update or delete or truncate on tocsin.imported
  for each statement execute function tocsin.refuse_change();
create trigger imported_head_append_only before update or delete or truncate on tocsin.imported_head
  for each statement execute function tocsin.refuse_change();
