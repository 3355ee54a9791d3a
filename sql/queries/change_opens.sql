select outcome, body from deploy_gate.change_opens(:'request'::jsonb)
