select outcome, body from deploy_gate.read_attach(:'request'::jsonb)
