-- Opens what is plain among the requests, each of which names one gate without ancestors and does not leave it crashed: a window over
-- that gate alone, with nothing else near it. A row for each that it ended, as in plain_close, with the gate that is to be announced.
with batch as materialized (
	select deploy_gate.batch_now() as at
), asked as materialized (
	select q.place, q.request as r, left(q.request ->> 'digest', 32) as id
	from unnest(array(select jsonb_array_elements(:'requests'::jsonb))) with ordinality q (request, place)
), ended as (
	update deploy_gate.lease l
	set state = 'ended', ended_at = b.at, ending = 'opened', ended_by = l.holder, end_reason = a.r ->> 'reason', claim_session = null,
		claim_request = null, unclaimed_at = null
	from batch b, asked a
	where l.id = any (array(select x.id from asked x)) and l.id = a.id and l.digest = a.r ->> 'digest'
		and l.kind = 'window' and l.state = 'closed' and cardinality(l.gates) = 1 and a.r -> 'gates' ? l.gates[1]
		and not exists (
			select from deploy_gate.lease_gate lg where deploy_gate.is_within(lg.gate, l.gates[1]) and lg.lease <> l.id)
	returning a.place, b.at, l.id, l.gates[1] as gate, l.fence, l.holder, l.end_reason,
		greatest(deploy_gate.ms_between(l.closed_at, b.at), 0) as lasted_ms, deploy_gate.lease_json(l, b.at) as body
), cleared as (
	delete from deploy_gate.lease_gate lg where lg.lease = any (array(select e.id from ended e)) returning lg.lease, lg.key
), freed as (
	update deploy_gate.gate g
	set freed_at = e.at, gap_until = null, fence = e.fence, typical_ms = (3 * coalesce(g.typical_ms, e.lasted_ms) + e.lasted_ms) / 4
	from ended e where g.name = any (array(select x.gate from ended x)) and g.name = e.gate
), told as (
	insert into deploy_gate.event (at, kind, gate, lease, holder, reason, by)
	select e.at, 'opened', e.gate, e.id, e.holder, e.end_reason, e.holder from ended e
)
select 'ok' as outcome, e.body, e.place, c.key, e.gate as announced from ended e join cleared c on c.lease = e.id
