select outcome, body from deploy_gate.change_release(:'request'::jsonb)
