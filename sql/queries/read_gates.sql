select outcome, body from deploy_gate.read_gates(:'request'::jsonb)
