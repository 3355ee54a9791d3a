select outcome, body from deploy_gate.change_close(:'request'::jsonb)
