select outcome, body from deploy_gate.change_leave(:'request'::jsonb)
