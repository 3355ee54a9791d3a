-- The tables that each change writes carry no more than they must. Checks and the predicates of indexes are read anew for each
-- statement, and only the functions of this schema write here. What is due by itself is found among the leases that still
-- matter, which are few; what ended is found by its event. So a lease that changes moves in no index.

alter table deploy_gate.lease drop constraint lease_check;
alter table deploy_gate.gate drop constraint gate_pass_limit_check, drop constraint gate_on_drain_check,
	drop constraint gate_on_expiry_check;
drop index deploy_gate.lease_due, deploy_gate.lease_opening, deploy_gate.lease_unclaimed, deploy_gate.lease_ended;
comment on column deploy_gate.gate.fence is 'Fence of the last window over the gate that ended; that of a live one is in its lease';
