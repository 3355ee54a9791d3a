select outcome, body from deploy_gate.change_force_open(:'request'::jsonb)
