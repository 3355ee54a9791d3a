-- Views for people. What is in them comes from functions of the owner, because nobody else may read the tables or see which
-- backends are the service's.

-- The gates that sessions in close_here say they have closed, and whose locks they do have.
create or replace function deploy_gate.gates_closed_here() returns table (gate text)
language sql volatile as $$
	select told.gate
	from pg_stat_activity a cross join lateral (select deploy_gate.told_gate(a.application_name)) told (gate)
	join pg_locks l on l.pid = a.pid and l.locktype = 'advisory' and l.objsubid = 1 and l.mode = 'ExclusiveLock' and l.granted
		and (l.classid::bigint << 32) | l.objid::bigint = deploy_gate.prefixed_key('deploy_gate:', told.gate)
	where told.gate is not null and a.datname = current_database()
$$;

-- Every gate with a row or a place in the queue, or closed by close_here, and all above them.
create or replace function deploy_gate.known_gates() returns table (gate text, key bigint)
language sql volatile as $$
	select p, deploy_gate.key(p)
	from (
		select distinct p collate "C" as p
		from (
			select name from deploy_gate.gate
			union select lg.gate from deploy_gate.lease_gate lg
			union select h.gate from deploy_gate.gates_closed_here() h) known (gate),
			unnest(deploy_gate.path(known.gate)) p) paths
$$;

create or replace function deploy_gate.locks_on_gates()
returns table (gate text, key bigint, mode text, granted boolean, pid integer, "user" name, application_name text, ours boolean)
language sql volatile security definer set search_path = pg_catalog, deploy_gate, pg_temp as $$
	select k.gate, k.key, case l.mode when 'ExclusiveLock' then 'exclusive' else 'shared' end, l.granted, l.pid, a.usename,
		a.application_name, exists (
			select from deploy_gate.session s
			where s.pid = l.pid and s.ended_at is null and s.backend_start = a.backend_start)
	from pg_locks l
	join deploy_gate.known_gates() k on k.key = (l.classid::bigint << 32) | l.objid::bigint
	left join pg_stat_activity a on a.pid = l.pid
	where l.locktype = 'advisory' and l.objsubid = 1
		and l.database = (select oid from pg_database where datname = current_database())
	order by k.gate, l.granted desc, l.pid
$$;

create or replace function deploy_gate.status_of_gates()
returns table (gate text, state text, holder text, reason text, since timestamptz, expires_at timestamptz, fence bigint, key bigint,
	pid integer, application_name text)
language sql volatile security definer set search_path = pg_catalog, deploy_gate, pg_temp as $$
	with outsiders as materialized (
		select * from deploy_gate.locks_on_gates() l where l.mode = 'exclusive' and not l.ours
	)
	select k.gate,
		case when w.id is not null then deploy_gate.shut_state(w) when o.pid is not null then 'closed' else 'open' end,
		case when w.id is not null then w.holder else o.user end,
		case when w.id is not null then w.reason else deploy_gate.told_reason(o.application_name) end,
		coalesce(w.ended_at, w.closed_at, w.created_at),
		case when w.ended_at is null then w.expires_at else w.opens_at end,
		coalesce(w.fence, g.fence), k.key, o.pid, o.application_name
	from deploy_gate.known_gates() k
	left join deploy_gate.gate g on g.name = k.gate
	left join lateral deploy_gate.shutter(k.gate) s on true
	left join deploy_gate.lease w on w.id = s.lease
	left join lateral (
		select * from outsiders where outsiders.gate = any (deploy_gate.path(k.gate))
		order by outsiders.gate desc, outsiders.granted desc limit 1) o on true
	order by k.gate
$$;

create or replace view deploy_gate.status as select * from deploy_gate.status_of_gates();
comment on view deploy_gate.status is
	'Every known gate and how it stands. pid and application_name: a plain SQL session that holds it, or waits to. Known are the
gates that the service ever closed or declared, and those that close_here shuts, for as long as application_name says so. What
pg_advisory_lock alone holds is not here unless it is known otherwise: a key does not tell of which name it was made';
comment on column deploy_gate.status.since is 'Since when it is shut by the service; null where it is open or a plain SQL session holds it';
comment on column deploy_gate.status.fence is 'Fence of the window that shuts the gate, else of the last one over it';

create or replace view deploy_gate.locks as select * from deploy_gate.locks_on_gates();
comment on view deploy_gate.locks is
	'Each advisory lock on a known gate, as in status, or one above it, by whom, in which mode';
comment on column deploy_gate.locks.ours is 'Whether the session is one of the service''s';
