select outcome, body from deploy_gate.read_gate(:'request'::jsonb)
