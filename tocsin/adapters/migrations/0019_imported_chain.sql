-- Which chains came in with packages of evidence: an instance that has any other takes none in (docs/evidence.md). What
-- an instance is told of its own accesses (who took evidence out of it) is of no package, and of every instance.

create table tocsin.imported_chain (
  chain text primary key
);

-- Of before: where something came in and nobody is watched, all that there is came in.
insert into tocsin.imported_chain (chain)
select name from tocsin.chain
where name not like 'accesses/%' and exists (select from tocsin.imported)
  and not exists (select from tocsin.measure) and not exists (select from tocsin.device);

create trigger imported_chain_append_only before update or delete or truncate on tocsin.imported_chain
  for each statement execute function tocsin.refuse_change();
