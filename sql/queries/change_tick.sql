select outcome, body from deploy_gate.change_tick(:'request'::jsonb)
