select number, why from deploy_gate.register_locks(:'replica'::text, :'name'::text, :'version'::text, :'host'::text)
