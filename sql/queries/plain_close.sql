-- Closes what is plain among the requests, each of which names one gate without ancestors: a new token and a TTL that the gate allows,
-- with nothing else near the gate and its lock to be had at once. A row for each that it closed, and its place in the list; about the
-- others it is silent, and they are left as they were, for change_close to decide. One statement, because to start one costs several
-- times what it does to a row. Where nobody is near, nobody waits to hear that a gate has shut: it is not announced.
with batch as materialized (
	select deploy_gate.batch_now() as at, deploy_gate.batch_session() as me, deploy_gate.held('x') as held,
		deploy_gate.lock_budget() - cardinality(deploy_gate.held('x')) - cardinality(deploy_gate.held('s')) as room
), asked as materialized (
	select q.place, q.request as r, left(q.request ->> 'digest', 32) as id, q.request -> 'gates' ->> 0 as gate,
		deploy_gate.prefixed_key('deploy_gate:', q.request -> 'gates' ->> 0) as key
	from unnest(array(select jsonb_array_elements(:'requests'::jsonb))) with ordinality q (request, place)
), had as materialized (
	select a.*, b.at, b.me, g.name is null as unknown, g.drain_ms, g.on_drain, g.on_expiry, g.grace_ms,
		least(coalesce((a.r ->> 'ttl_ms')::bigint, g.ttl_ms, 1800000), life.max_ms) as ttl_ms, life.max_ms
	from batch b cross join asked a left join deploy_gate.gate g on g.name = a.gate
	cross join lateral (select coalesce((a.r ->> 'max_ms')::bigint, g.max_ms, 14400000)) life (max_ms)
	where case
		when a.place > b.room or a.key = any (b.held) or not a.r ? 'max_ms' and (a.r ->> 'ttl_ms')::bigint > life.max_ms
			or (select l.id from deploy_gate.lease l where l.id = a.id) is not null
			or exists (select from deploy_gate.lease_gate lg where deploy_gate.is_within(lg.gate, a.gate))
			or exists (select from deploy_gate.gate k where deploy_gate.is_within(k.name, a.gate) and k.gap_until > b.at)
			or exists (select from asked before where before.place < a.place and (before.gate = a.gate or before.id = a.id))
		then false else pg_try_advisory_lock(a.key) end
), made as (
	insert into deploy_gate.lease as l (id, digest, kind, state, gates, holder, reason, release, url, job, number, fence, ttl_ms,
		max_ms, drain_ms, on_drain, on_expiry, grace_ms, created_at, wait_until, session, locked, answered, claim_session,
		claim_request, closed_at, expires_at, max_at)
	select h.id, h.r ->> 'digest', 'window', 'closed', array[h.gate], h.r ->> 'holder', h.r ->> 'reason', h.r ->> 'release',
		h.r ->> 'url', h.r ->> 'job', nextval('deploy_gate.ticket_number'), nextval('deploy_gate.fence'), h.ttl_ms, h.max_ms,
		coalesce((h.r ->> 'drain_ms')::bigint, h.drain_ms, 600000), coalesce(h.r ->> 'on_drain', h.on_drain, 'abort'),
		coalesce(h.r ->> 'on_expiry', h.on_expiry, 'open'), coalesce((h.r ->> 'grace_ms')::bigint, h.grace_ms, 0), h.at,
		h.at + deploy_gate.ms(coalesce((h.r ->> 'wait_ms')::bigint, 0)), h.me, true, true, h.me, (h.r ->> 'claim')::bigint, h.at,
		h.at + deploy_gate.ms(h.ttl_ms), h.at + deploy_gate.ms(h.max_ms)
	from had h
	returning l.id, deploy_gate.lease_json(l, l.created_at) as body
), listed as (
	insert into deploy_gate.lease_gate (lease, gate, role, key, ancestor_keys) select h.id, h.gate, 'window', h.key, '{}' from had h
), known as (
	insert into deploy_gate.gate (name) select h.gate from had h where h.unknown
), told as (
	insert into deploy_gate.event (at, kind, gate, lease, holder, reason, by)
	select h.at, 'closed', h.gate, h.id, h.r ->> 'holder', h.r ->> 'reason', h.r ->> 'holder' from had h
)
select 'made' as outcome, m.body, h.place, h.key, null as announced from had h join made m on m.id = h.id
