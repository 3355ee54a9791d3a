select outcome, body from deploy_gate.change_attach(:'request'::jsonb)
