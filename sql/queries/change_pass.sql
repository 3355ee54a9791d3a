select outcome, body from deploy_gate.change_pass(:'request'::jsonb)
