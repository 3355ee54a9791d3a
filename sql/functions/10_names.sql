-- Names of gates, their ancestors and their advisory keys.

create or replace function deploy_gate.key(gate text) returns bigint
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
	if gate is null or length(gate) > 128 or gate !~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,7}$' then
		raise exception 'deploy-gate: % is not the name of a gate', coalesce(quote_literal(left(gate, 140)), 'NULL')
			using errcode = '22023',
				hint = 'A name is 1 to 8 segments of A-Z a-z 0-9 _ - joined by dots, at most 128 bytes: production.billing';
	end if;
	return deploy_gate.prefixed_key('deploy_gate:', gate);
end $$;
comment on function deploy_gate.key(text) is
	'The gate''s advisory key, for pg_advisory_lock(key) and friends; raises 22023 for a bad name, never NULL';

-- The first 64 bits of the SHA-256 of prefix and name. The prefixes keep gates, proofs of life and migration apart. The name
-- is ASCII without a backslash, which the cast would read as an escape; convert_to() is not immutable and would keep this
-- from being inlined where it is hot.
create or replace function deploy_gate.prefixed_key(prefix text, name text) returns bigint
language sql immutable parallel safe as $$
	select ('x' || left(encode(sha256((prefix || name)::bytea), 'hex'), 16))::bit(64)::bigint
$$;

create or replace function deploy_gate.path(gate text) returns text[]
language plpgsql immutable parallel safe as $$
declare
	path text[] := '{}';
begin
	if strpos(gate, '.') = 0 then
		return array[gate];
	end if;
	for dot in 1 .. length(gate) loop
		if substr(gate, dot, 1) = '.' then
			path := path || left(gate, dot - 1);
		end if;
	end loop;
	return path || gate;
end $$;
comment on function deploy_gate.path(text) is 'The gate''s ancestors, root first, and the gate itself';

create or replace function deploy_gate.paths(gates text[]) returns text[]
language plpgsql immutable parallel safe as $$
declare
	paths text[] := '{}';
	gate text;
begin
	foreach gate in array coalesce(gates, '{}') loop
		paths := paths || deploy_gate.path(gate);
	end loop;
	return paths;
end $$;
comment on function deploy_gate.paths(text[]) is 'The same of several gates';

-- Whether a gate is this one or below it, in words that are a search of an index where they are inlined: '/' comes behind '.'.
create or replace function deploy_gate.is_within(gate text, top text) returns boolean
language sql immutable parallel safe as $$
	select gate >= top and gate < top || '/' and (gate = top or gate > top || '.')
$$;

-- The names of gates in a JSON list, which need no escapes, but the quotes that they have: a gate may be called null.
create or replace function deploy_gate.names_in(list jsonb) returns text[]
language sql stable parallel safe as $$
	select translate(list::text, '[] ', '{}')::text[]
$$;
