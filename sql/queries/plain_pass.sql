-- Lets in what is plain among the requests, each of which names one gate without ancestors and no token to act under, and no two the
-- same token: the gate is known and has no limit, the token is new, no window is there, and the gate's lock is held already or to
-- be had at once, once for all. A row for each that it let in, as in plain_close. held_s: the account of the shared locks this
-- session holds.
with asked as materialized (
	select q.r, left(q.r ->> 'digest', 32) as id, g.name as gate, g.fence, coalesce((q.r ->> 'ttl_ms')::bigint, 600000) as ttl_ms,
		deploy_gate.prefixed_key('deploy_gate:', g.name) as key
	from unnest(:'requests'::jsonb[]) q (r)
	join deploy_gate.gate g on g.name = any (array(select x.r -> 'gates' ->> 0 from unnest(:'requests'::jsonb[]) x (r)))
		and g.name = q.r -> 'gates' ->> 0
	where g.pass_limit is null
		and (select l.id from deploy_gate.lease l where l.id = left(q.r ->> 'digest', 32)) is null
		and (select lg.lease from deploy_gate.lease_gate lg where lg.gate = g.name and lg.role = 'window' limit 1) is null
), had as materialized (
	select k.key from (select distinct a.key from asked a) k
	where case when k.key = any (:'held_s'::bigint[]) then true else pg_try_advisory_lock_shared(k.key) end
), made as (
	insert into deploy_gate.lease as l (id, digest, kind, state, gates, holder, reason, url, job, number, fence, ttl_ms, created_at,
		expires_at, session, locked, answered, claim_session, claim_request)
	select a.id, a.r ->> 'digest', 'pass', 'inside', array[a.gate], a.r ->> 'holder', a.r ->> 'reason', a.r ->> 'url',
		a.r ->> 'job', null, a.fence, a.ttl_ms, deploy_gate.batch_now(), deploy_gate.batch_now() + deploy_gate.ms(a.ttl_ms),
		deploy_gate.batch_session(), true, true, deploy_gate.batch_session(), (a.r ->> 'claim')::bigint
	from asked a join had h on h.key = a.key
	returning l.id, l.gates[1] as gate, l.created_at, l.holder, l.reason, deploy_gate.prefixed_key('deploy_gate:', l.gates[1]) as key,
		deploy_gate.lease_row(l) as told
), listed as (
	insert into deploy_gate.lease_gate (lease, gate, role, key, ancestor_keys) select m.id, m.gate, 'pass', m.key, '{}' from made m
), recorded as (
	insert into deploy_gate.event (at, kind, gate, lease, holder, reason, by)
	select m.created_at, 'passed', m.gate, m.id, m.holder, m.reason, m.holder from made m
)
select m.id, 'made' as outcome, m.told, m.created_at as at, m.key, 's' as mode, null as announced from made m
