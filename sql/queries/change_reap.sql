select outcome, body from deploy_gate.change_reap(:'request'::jsonb)
