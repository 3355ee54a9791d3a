-- One look at any number of gates. Each path is a gate's ancestors, root first, and the gate itself, by commas; the caller has
-- checked the names. The rows come first: only where they leave a gate and its ancestors open are the locks probed (CASE, not
-- WHERE), so that a close meets the probes of one snapshot a replica at most.
-- This is the hot path: nothing here may call a function that is planned anew for each statement or transaction.
with asked as materialized (
	select string_to_array(a.path, ',') as path, a.detail, a.place
	from unnest(:'paths'::text[], :'details'::boolean[]) with ordinality a (path, detail, place)
), looked as materialized (
	select a.*, a.path[cardinality(a.path)] as gate, s.gate as by, s.lease
	from asked a
	left join lateral (
		select lg.gate, lg.lease from deploy_gate.lease_gate lg
		where lg.gate = any (a.path) and lg.role = 'window' order by lg.gate desc limit 1) s on true
)
select l.by, l.lease,
	case when l.lease is null then (
		select bool_and(pg_try_advisory_xact_lock_shared(deploy_gate.prefixed_key('deploy_gate:', p)))
		from unnest(l.path) p) end as free,
	exists (select from deploy_gate.gate g where g.name = l.gate) as known,
	case when l.detail and l.lease is not null then deploy_gate.gate_json(l.gate, clock_timestamp()) end as facts
from looked l
order by l.place
