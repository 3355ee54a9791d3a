-- Closes what is plain among the requests, each of which names one gate without ancestors, and no two the same gate or token: the
-- gate is known and has no settings, the token is new and its TTL not above its max, nothing else is near the gate and its lock to be
-- had at once. A row for each that it closed; about the others it is silent, and they are left as they were, for change_close to
-- decide. One statement, because to start one costs several times what it does to a row. Where nobody is near, nobody waits to hear
-- that a gate has shut: it is not announced. held_x: the account of the exclusive locks this session holds, because PostgreSQL
-- counts one that is taken twice.
with made as (
	insert into deploy_gate.lease as l (id, digest, kind, state, gates, holder, reason, release, url, job, ttl_ms, max_ms, drain_ms,
		on_drain, on_expiry, grace_ms, created_at, wait_until, session, locked, answered, claim_session, claim_request, closed_at,
		expires_at, max_at)
	select left(a.r ->> 'digest', 32), a.r ->> 'digest', 'window', 'closed', array[a.gate], a.r ->> 'holder', a.r ->> 'reason',
		a.r ->> 'release', a.r ->> 'url', a.r ->> 'job', a.ttl_ms, a.max_ms, coalesce((a.r ->> 'drain_ms')::bigint, 600000),
		coalesce(a.r ->> 'on_drain', 'abort'), coalesce(a.r ->> 'on_expiry', 'open'), coalesce((a.r ->> 'grace_ms')::bigint, 0),
		a.at, a.at + deploy_gate.ms(coalesce((a.r ->> 'wait_ms')::bigint, 0)), a.me, true, true, a.me, (a.r ->> 'claim')::bigint,
		a.at, a.at + deploy_gate.ms(a.ttl_ms), a.at + deploy_gate.ms(a.max_ms)
	from (
		select q.r, q.r -> 'gates' ->> 0 as gate, coalesce((q.r ->> 'ttl_ms')::bigint, 1800000) as ttl_ms,
			coalesce((q.r ->> 'max_ms')::bigint, 14400000) as max_ms, deploy_gate.batch_now() as at, deploy_gate.batch_session() as me
		from unnest(:'requests'::jsonb[]) q (r)
		offset 0) a
	where case
		when a.ttl_ms > a.max_ms
			or (select l.id from deploy_gate.lease l where l.id = left(a.r ->> 'digest', 32)) is not null
			or exists (select from deploy_gate.lease_gate lg where deploy_gate.is_within(lg.gate, a.gate))
			or (
				select g.name from deploy_gate.gate g
				where g.name = a.gate and g.ttl_ms is null and g.max_ms is null and g.drain_ms is null and g.on_drain is null
					and g.on_expiry is null and g.grace_ms is null) is null
			or exists (select from deploy_gate.gate g where deploy_gate.is_within(g.name, a.gate) and g.gap_until > a.at)
			or deploy_gate.prefixed_key('deploy_gate:', a.gate) = any (:'held_x'::bigint[])
		then false else pg_try_advisory_lock(deploy_gate.prefixed_key('deploy_gate:', a.gate)) end
	returning l.id, l.gates[1] as gate, l.closed_at, l.holder, l.reason, deploy_gate.prefixed_key('deploy_gate:', l.gates[1]) as key,
		deploy_gate.lease_row(l) as told
), listed as (
	insert into deploy_gate.lease_gate (lease, gate, role, key, ancestor_keys) select m.id, m.gate, 'window', m.key, '{}' from made m
), recorded as (
	insert into deploy_gate.event (at, kind, gate, lease, holder, reason, by)
	select m.closed_at, 'closed', m.gate, m.id, m.holder, m.reason, m.holder from made m
)
select m.id, 'made' as outcome, m.told, m.closed_at as at, m.key, 'x' as mode, null as announced from made m
