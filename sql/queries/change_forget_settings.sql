select outcome, body from deploy_gate.change_forget_settings(:'request'::jsonb)
