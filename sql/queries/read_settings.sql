select outcome, body from deploy_gate.read_settings(:'request'::jsonb)
