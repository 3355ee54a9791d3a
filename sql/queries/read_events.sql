select outcome, body from deploy_gate.read_events(:'request'::jsonb)
