select outcome, body from deploy_gate.change_settings(:'request'::jsonb)
