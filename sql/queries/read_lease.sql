select outcome, body from deploy_gate.read_lease(:'request'::jsonb)
