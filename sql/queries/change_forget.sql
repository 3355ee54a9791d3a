select outcome, body from deploy_gate.change_forget(:'request'::jsonb)
