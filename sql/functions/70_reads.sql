-- What can be read, each one function that takes one JSON object.

-- gate known_only; or gates, of which one is told.
create or replace function deploy_gate.read_gate(request jsonb, out outcome text, out body json)
language plpgsql volatile as $$
begin
	body := deploy_gate.gate_json(
		coalesce(request ->> 'gate', deploy_gate.occupied_gate(deploy_gate.names_in(request -> 'gates'))), clock_timestamp());
	outcome := case when request ->> 'known_only' = 'true' and not (body ->> 'known')::boolean then 'not_found' else 'ok' end;
end $$;

-- prefix after limit
create or replace function deploy_gate.read_gates(request jsonb, out outcome text, out body json)
language plpgsql volatile as $$
declare
	most bigint := coalesce((request ->> 'limit')::bigint, 100);
	names text[] := array(
		select g.name from deploy_gate.gate g
		where g.name > coalesce(request ->> 'after', '') collate "C"
			and (request ->> 'prefix' is null or starts_with(g.name, request ->> 'prefix'))
		order by g.name limit most + 1);
	at timestamptz := clock_timestamp();
begin
	outcome := 'ok';
	body := json_build_object(
		'gates', coalesce((select json_agg(deploy_gate.gate_json(n, at) order by place)
			from unnest(names[:most]) with ordinality g (n, place)), '[]'),
		'next', case when cardinality(names) > most then names[most] end);
end $$;

create or replace function deploy_gate.read_lease(request jsonb, out outcome text, out body json)
language plpgsql volatile as $$
begin
	select deploy_gate.lease_json(l, clock_timestamp()) into body from deploy_gate.lease l where l.id = request ->> 'id';
	outcome := case when body is null then 'not_found' else 'ok' end;
end $$;

-- id digest: what change_attach would answer now, and nothing of the lease is touched.
create or replace function deploy_gate.read_attach(request jsonb, out outcome text, out body json)
language plpgsql volatile as $$
declare
	l deploy_gate.lease;
begin
	select * into l from deploy_gate.lease where id = request ->> 'id';
	outcome := deploy_gate.refusal(l, request);
	body := deploy_gate.refusal_json(l, outcome, clock_timestamp());
	outcome := coalesce(outcome, 'ok');
end $$;

-- gate kind since until after limit: newest first; after is the id of the last event of the page before. A gate stands for
-- those below it too.
create or replace function deploy_gate.read_events(request jsonb, out outcome text, out body json)
language plpgsql volatile as $$
declare
	most bigint := coalesce((request ->> 'limit')::bigint, 100);
	now_ timestamptz := clock_timestamp();
	page deploy_gate.event[] := array(
		select e from deploy_gate.event e
		where (request ->> 'gate' is null or e.gate = request ->> 'gate'
				or e.gate > (request ->> 'gate') || '.' and e.gate < (request ->> 'gate') || '/')
			and (request ->> 'kind' is null or e.kind = request ->> 'kind')
			and e.at >= coalesce((request ->> 'since')::timestamptz, '-infinity')
			and e.at <= coalesce((request ->> 'until')::timestamptz, 'infinity')
			and e.id < coalesce((request ->> 'after')::bigint, 9223372036854775807)
		order by e.id desc limit most + 1);
begin
	outcome := 'ok';
	body := json_build_object(
		'events', coalesce((
			select json_agg(json_build_object('id', e.id, 'at', deploy_gate.rfc3339(e.at),
				'ago_ms', deploy_gate.ms_between(e.at, now_), 'kind', e.kind, 'gate', e.gate, 'lease', e.lease,
				'holder', e.holder, 'reason', e.reason, 'by', e.by) order by e.id desc)
			from unnest(page[:most]) e), '[]'),
		'next', case when cardinality(page) > most then (page[most]).id end);
end $$;

-- The replicas that are here, the oldest first. leases: the live ones whose locks it holds, or is to hold; waiters: the jobs and
-- deploys whose clients wait there. One that has not been heard of for 5 s is silent: what waits there may be passed over.
create or replace function deploy_gate.read_replicas(request jsonb, out outcome text, out body json)
language plpgsql volatile as $$
declare
	at timestamptz := clock_timestamp();
begin
	outcome := 'ok';
	body := (
		with lease as (
			select l.* from deploy_gate.leases_that_matter() l where l.ended_at is null
		), replica as (
			select min(s.since) as since, max(s.stamped_at) filter (where s.role = 'locks') as heard_at, s.replica as process,
				min(s.number) filter (where s.role = 'locks') as number,
				s.name, s.host, s.version,
				sum((s.waiting #>> '{*,count}')::bigint) as jobs,
				json_agg(json_build_object('role', s.role, 'number', s.number, 'pid', s.pid,
					'since', deploy_gate.rfc3339(s.since), 'since_ago_ms', deploy_gate.ms_between(s.since, at)) order by s.role) as sessions
			from deploy_gate.session s
			where s.ended_at is null
			group by s.replica, s.name, s.host, s.version
		)
		select json_build_object('replicas', coalesce(json_agg(json_build_object(
			'state', case when heard_at > at - interval '5 s' then 'up' else 'silent' end,
			'name', name, 'host', host, 'version', version,
			'since', deploy_gate.rfc3339(since), 'since_ago_ms', deploy_gate.ms_between(since, at),
			'heard_at', deploy_gate.rfc3339(heard_at), 'heard_ago_ms', greatest(deploy_gate.ms_between(heard_at, at), 0),
			'leases', (select count(*) from lease l where l.state <> 'queued' and l.session = r.number),
			'waiters', coalesce(jobs, 0)
				+ (select count(*) from lease l where l.kind = 'window' and not l.answered and l.claim_session = r.number),
			'sessions', sessions) order by since), '[]'), 'next', null)
		from replica r);
end $$;
