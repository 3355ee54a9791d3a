select number, why, deploy_gate.lock_budget() from deploy_gate.register_locks(:'replica'::text, :'name'::text, :'version'::text, :'host'::text)
