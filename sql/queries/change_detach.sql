select outcome, body from deploy_gate.change_detach(:'request'::jsonb)
