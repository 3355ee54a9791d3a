-- Opens what is plain among the requests, each of which names one gate without ancestors and does not leave it crashed: a window over
-- that gate alone, with nothing else near it but deploys in line, if no job waits to be let in before those. A row for each that it
-- ended, as in plain_close, with the gate that is to be announced; that, and the drop of a lock that this session holds, which has a
-- mode then, is postponed.
with ended as (
	update deploy_gate.lease l
	set state = 'ended', ended_at = deploy_gate.batch_now(), ending = 'opened', ended_by = l.holder, end_reason = a.r ->> 'reason',
		claim_session = null, claim_request = null, unclaimed_at = null
	from unnest(:'requests'::jsonb[]) a (r)
	where l.id = any (array(select left(x.r ->> 'digest', 32) from unnest(:'requests'::jsonb[]) x (r)))
		and l.id = left(a.r ->> 'digest', 32) and l.digest = a.r ->> 'digest'
		and l.kind = 'window' and l.state = 'closed' and cardinality(l.gates) = 1 and a.r -> 'gates' ? l.gates[1]
		and not exists (
			select from deploy_gate.lease_gate lg
			where deploy_gate.is_within(lg.gate, l.gates[1]) and lg.lease <> l.id and (lg.role <> 'ticket' or l.jobs_waited))
	returning l.id, l.gates[1] as gate, l.ended_at, l.fence, l.holder, l.end_reason,
		greatest(deploy_gate.ms_between(l.closed_at, l.ended_at), 0) as lasted_ms,
		deploy_gate.prefixed_key('deploy_gate:', l.gates[1]) as key,
		case when deploy_gate.prefixed_key('deploy_gate:', l.gates[1]) = any (:'held_x'::bigint[]) then 'x' end as mode,
		deploy_gate.lease_row(l) as told
), cleared as (
	delete from deploy_gate.lease_gate lg where lg.lease = any (array(select e.id from ended e))
), freed as (
	update deploy_gate.gate g
	set freed_at = e.ended_at, gap_until = null, fence = e.fence, typical_ms = (3 * coalesce(g.typical_ms, e.lasted_ms) + e.lasted_ms) / 4
	from ended e where g.name = any (array(select x.gate from ended x)) and g.name = e.gate
), recorded as (
	insert into deploy_gate.event (at, kind, gate, lease, holder, reason, by)
	select e.ended_at, 'opened', e.gate, e.id, e.holder, e.end_reason, e.holder from ended e
)
select e.id, 'ok' as outcome, e.told, e.ended_at as at, e.key, e.mode, e.gate as announced,
	deploy_gate.postpone(concat(e.mode || e.key || ',', ':', e.gate))
from ended e
