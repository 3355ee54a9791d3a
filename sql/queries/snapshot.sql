-- One look at any number of gates. The rows come first: only where they leave a gate and its ancestors open are the locks
-- probed (CASE, not WHERE), so that a close meets the probes of one snapshot a replica at most.
with asked as (
	select a.gate, a.detail, a.place, s.by, s.lease
	from unnest(:'gates'::text[], :'details'::boolean[]) with ordinality a (gate, detail, place)
	left join lateral deploy_gate.shutter(a.gate) s on true
)
select a.by, a.lease,
	case when a.lease is null then (
		select bool_and(pg_try_advisory_xact_lock_shared(deploy_gate.key(p))) from unnest(deploy_gate.path(a.gate)) p) end as free,
	exists (select from deploy_gate.gate g where g.name = a.gate) as known,
	case when a.detail and a.lease is not null then deploy_gate.gate_json(a.gate, clock_timestamp()) end as facts
from asked a
order by a.place
