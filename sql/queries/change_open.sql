select outcome, body from deploy_gate.change_open(:'request'::jsonb)
