-- One look at any number of gates, each behind its ancestors; its path is its ancestors, root first, and itself, by commas. The
-- caller has checked the names. The rows come first: a lock is probed only where they leave the gate and its ancestors open
-- (CASE, not WHERE), so that a close meets the probes of one snapshot a replica at most.
-- This is the hot path: nothing here may call a function that is planned anew for each statement or transaction.
select asked.place, shut.lease,
	case when shut.lease is not null then
		exists (select from deploy_gate.lease l where l.id = shut.lease and l.ended_at is null) end as live,
	case when shut.lease is null then
		pg_try_advisory_xact_lock_shared(deploy_gate.prefixed_key('deploy_gate:', asked.gate)) end as free,
	g.name is not null as known,
	case when asked.detail and shut.lease is not null then
		deploy_gate.gate_json(asked.gate, clock_timestamp()) end as facts
from unnest(:'gates'::text[], :'paths'::text[], :'details'::boolean[]) with ordinality asked (gate, path, detail, place)
left join deploy_gate.gate g on g.name = asked.gate
left join lateral (
	select lg.lease from deploy_gate.lease_gate lg
	where lg.gate = any (string_to_array(asked.path, ',')) and lg.role = 'window' order by lg.gate desc limit 1) shut on true
