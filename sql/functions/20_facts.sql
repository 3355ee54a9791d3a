-- Here and below functions in plain SQL are those that PostgreSQL inlines. It would plan any other anew at each call, where
-- PL/pgSQL plans once a session.

-- What is told about gates and leases, as JSON of the contract. Every function takes the instant it speaks of, so that all
-- times in one answer are relative to the same clock.

create or replace function deploy_gate.rfc3339(at timestamptz) returns text
language sql stable parallel safe as $$
	select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

create or replace function deploy_gate.ms_between(earlier timestamptz, later timestamptz) returns bigint
language sql immutable parallel safe as $$
	select (extract(epoch from later - earlier) * 1000)::bigint
$$;

create or replace function deploy_gate.ms(duration_ms bigint) returns interval
language sql immutable parallel safe as $$
	select duration_ms * interval '1 millisecond'
$$;

create or replace function deploy_gate.lease_json(l deploy_gate.lease, at timestamptz) returns json
language sql stable as $$
	select json_build_object(
		'state', l.state, 'id', l.id, 'kind', l.kind, 'gates', l.gates, 'fence', l.fence, 'holder', l.holder,
		'reason', l.reason, 'release', l.release, 'url', l.url, 'job', l.job, 'ttl_ms', l.ttl_ms, 'max_ms', l.max_ms,
		'on_expiry', l.on_expiry, 'grace_ms', l.grace_ms, 'number', l.number,
		'created_at', deploy_gate.rfc3339(l.created_at), 'created_ago_ms', deploy_gate.ms_between(l.created_at, at),
		'closed_at', deploy_gate.rfc3339(l.closed_at), 'closed_ago_ms', deploy_gate.ms_between(l.closed_at, at),
		'expires_at', deploy_gate.rfc3339(l.expires_at), 'expires_in_ms', deploy_gate.ms_between(at, l.expires_at),
		'max_at', deploy_gate.rfc3339(l.max_at), 'max_in_ms', deploy_gate.ms_between(at, l.max_at),
		'max_reached', coalesce(l.expires_at = l.max_at, false),
		'on_drain', l.on_drain, 'drain_until', deploy_gate.rfc3339(l.drain_until),
		'drain_in_ms', deploy_gate.ms_between(at, l.drain_until),
		'stop_at', deploy_gate.rfc3339(l.stop_at), 'stop_ago_ms', deploy_gate.ms_between(l.stop_at, at),
		'attached', l.attached and l.ended_at is null, 'was_attached', l.was_attached, 'contested', l.contested,
		'overrun', l.overrun,
		'external', case when l.contested then l.external end,
		'ended_at', deploy_gate.rfc3339(l.ended_at), 'ended_ago_ms', deploy_gate.ms_between(l.ended_at, at),
		'end', l.ending, 'ended_by', l.ended_by, 'end_reason', l.end_reason,
		'opens_at', deploy_gate.rfc3339(l.opens_at), 'opens_in_ms', deploy_gate.ms_between(at, l.opens_at))
$$;

-- The same facts as a row, as PostgreSQL prints one, of which the server makes the same JSON: what is asked for most is told so,
-- because to tell it here would take a fifth of the time. If you change this or lease_json, also change what stands there, in
-- telling.
create or replace function deploy_gate.lease_row(l deploy_gate.lease) returns text
language sql stable as $$
	select row(
		l.state, l.id, l.kind, l.gates, l.fence, l.holder, l.reason, l.release, l.url, l.job, l.ttl_ms, l.max_ms, l.on_expiry,
		l.grace_ms, l.number, l.created_at, l.closed_at, l.expires_at, l.max_at, l.expires_at = l.max_at, l.on_drain, l.drain_until,
		l.stop_at, l.attached and l.ended_at is null, l.was_attached, l.contested, l.overrun,
		case when l.contested then l.external end, l.ended_at, l.ending, l.ended_by, l.end_reason, l.opens_at)::text
$$;

-- The state a gate is in because of this window: an ended one shuts it through its aftermath.
create or replace function deploy_gate.shut_state(l deploy_gate.lease) returns text
language sql immutable as $$
	select case when l.aftermath = 'crashed' then 'crashed' when l.state = 'ended' then 'closed' else l.state end
$$;

-- Sessions that hold or want one of these advisory keys in a mode that conflicts with ours, and that are none of ours.
-- A waiting request counts: probes fail behind it. mode: the mode we want.
create or replace function deploy_gate.outsiders(keys bigint[], mode text) returns json
language plpgsql volatile as $$
begin
	return (
		select json_agg(json_build_object('pid', l.pid, 'user', a.usename, 'application_name', a.application_name,
				'mode', l.mode, 'granted', l.granted, 'database', a.datname) order by l.pid)
		from pg_locks l
		left join pg_stat_activity a on a.pid = l.pid
		where l.locktype = 'advisory' and l.objsubid = 1
			and l.database = (select oid from pg_database where datname = current_database())
			and (l.classid::bigint << 32) | l.objid::bigint = any (keys)
			and (l.mode = 'ExclusiveLock' or $2 = 'ExclusiveLock' and l.granted)
			and l.pid <> pg_backend_pid()
			and not exists (
				select from deploy_gate.session s
				where s.pid = l.pid and s.ended_at is null and s.backend_start = a.backend_start));
end $$;

-- The sessions that closed a gate below one of these by close_here, or try to. They share the locks of these as jobs do, but a mark
-- beside each says that they are deploys: to whom wants to close these they are exclusive.
create or replace function deploy_gate.deploys_below(gates text[]) returns json
language plpgsql volatile as $$
begin
	return (
		select json_agg(o::jsonb || '{"mode": "ExclusiveLock"}')
		from json_array_elements(deploy_gate.outsiders(
			array(select deploy_gate.prefixed_key('deploy_gate-deploy:', g) from unnest(gates) g), 'ExclusiveLock')) o);
end $$;

-- The first of these gates that somebody outside keeps from being closed as a deploy does, or null.
create or replace function deploy_gate.gate_held_outside(gates text[]) returns text
language plpgsql volatile as $$
begin
	return (
		select g from unnest(gates) with ordinality n (g, place)
		where deploy_gate.outsiders(deploy_gate.keys_of(array[g]), 'ShareLock') is not null
			or deploy_gate.deploys_below(array[g]) is not null
		order by place limit 1);
end $$;

create or replace function deploy_gate.keys_of(gates text[]) returns bigint[]
language plpgsql immutable as $$
begin
	return (
		select array_agg(distinct deploy_gate.prefixed_key('deploy_gate:', p))
		from unnest(gates) g, unnest(deploy_gate.path(g)) p);
end $$;

-- The leases that are queued, live, or ended and still shutting: all that is yet to change by itself is among them. They are
-- looked up one by one, for the ended ones among which they are may be many. By an array here and elsewhere: from a join or an IN
-- PostgreSQL makes a walk through all leases where it last counted few, and goes on walking when they are many.
create or replace function deploy_gate.leases_that_matter() returns setof deploy_gate.lease
language sql stable as $$
	select l.* from deploy_gate.lease l where l.id = any (array(select lg.lease from deploy_gate.lease_gate lg))
$$;

-- Leases of that role whose gates conflict with these: the same gate, an ancestor or a descendant of any. Two searches of the
-- index, because an OR would look at every window there is.
create or replace function deploy_gate.in_the_way(gates text[], as_role text) returns setof text
language sql stable as $$
	select lg.lease
	from unnest(deploy_gate.paths(gates)) p (name)
	join deploy_gate.lease_gate lg on lg.gate = p.name and lg.role = as_role
	union
	select lg.lease
	from unnest(gates) g (name)
	join deploy_gate.lease_gate lg on lg.gate > g.name || '.' and lg.gate < g.name || '/' and lg.role = as_role
$$;

-- The known gates that conflict with these, some of them perhaps twice.
create or replace function deploy_gate.kin(gates text[]) returns setof deploy_gate.gate
language sql stable as $$
	select k.* from unnest(deploy_gate.paths(gates)) p (name) join deploy_gate.gate k on k.name = p.name
	union all
	select k.* from unnest(gates) g (name) join deploy_gate.gate k on k.name > g.name || '.' and k.name < g.name || '/'
$$;

-- The same leases themselves, windows in the order of their grants, tickets in that of the queue.
create or replace function deploy_gate.leases_in_the_way(gates text[], as_role text) returns setof deploy_gate.lease
language plpgsql stable as $$
declare
	ids text[] := array(select distinct b from deploy_gate.in_the_way(gates, as_role) b);
begin
	if ids <> '{}' then
		return query select l.* from deploy_gate.lease l where l.id = any (ids) order by l.fence, l.number;
	end if;
end $$;

-- The gate, or the nearest ancestor, that a window shuts, and that window.
create or replace function deploy_gate.shutter(gate text, out by text, out lease text)
language plpgsql stable as $$
begin
	select lg.gate, lg.lease into "by", lease from deploy_gate.lease_gate lg
	where lg.gate = any (deploy_gate.path($1)) and lg.role = 'window'
	order by lg.gate desc limit 1;
end $$;

create or replace function deploy_gate.passes_json(name text, at timestamptz) returns json
language plpgsql stable as $$
begin
	return (
		select json_build_object('count', count(*),
			'limit', (select g.pass_limit from deploy_gate.gate g where g.name = $1),
			'oldest', coalesce(json_agg(deploy_gate.lease_json(pass, at) order by place) filter (where place <= 100), '[]'))
		from (
			select l, row_number() over (order by l.created_at)
			from deploy_gate.lease l
			where l.id = any (array(
				select lg.lease from deploy_gate.lease_gate lg
				where lg.role in ('pass', 'inside', 'overrun') and (lg.gate = $1 or lg.gate > $1 || '.' and lg.gate < $1 || '/')))) inside (pass, place));
end $$;

-- The gate as in GET /v1/gates/{gate}.
create or replace function deploy_gate.gate_json(name text, at timestamptz) returns json
language plpgsql volatile as $$
declare
	shut_by text;
	shut_lease text;
	w deploy_gate.lease;
	g deploy_gate.gate;
	outsiders json;
	full_by text;
	gate_state text;
begin
	select s.by, s.lease into shut_by, shut_lease from deploy_gate.shutter(name) s;
	select * into w from deploy_gate.lease l where l.id = shut_lease;
	select * into g from deploy_gate.gate where gate.name = gate_json.name;
	outsiders := deploy_gate.outsiders(deploy_gate.keys_of(array[name]), 'ShareLock');
	full_by := deploy_gate.full_gate(name);
	gate_state := case when w.id is not null then deploy_gate.shut_state(w) when outsiders is not null then 'closed'
		when full_by is not null then 'full' else 'open' end;
	return json_build_object(
		'state', gate_state,
		'name', name,
		'known', g.name is not null,
		'fence', coalesce(w.fence, g.fence),
		'closed_by', coalesce(shut_by, case when outsiders is not null then deploy_gate.outsiders_gate(name) else full_by end),
		'window', case when w.id is not null then deploy_gate.lease_json(w, at) end,
		'external', coalesce(outsiders, w.external::json, case when w.id is null then deploy_gate.deploys_below(array[name]) end),
		'passes', deploy_gate.passes_json(name, at),
		'waiting', deploy_gate.waiting_json(name, at, gate_state = 'open'),
		'freeze', null,
		'eta_ms', case when w.ended_at is not null then deploy_gate.ms_between(at, w.opens_at)
			when g.typical_ms is not null and w.closed_at is not null then
				greatest(g.typical_ms - greatest(deploy_gate.ms_between(w.closed_at, at), 0), 0) end);
end $$;

-- The gate on the path of this one that somebody outside holds, nearest first.
create or replace function deploy_gate.outsiders_gate(name text) returns text
language plpgsql volatile as $$
begin
	return (
		select p from unnest(deploy_gate.path(name)) p
		where deploy_gate.outsiders(array[deploy_gate.key(p)], 'ShareLock') is not null
		order by p desc limit 1);
end $$;
