select outcome, body from deploy_gate.change_amend(:'request'::jsonb)
