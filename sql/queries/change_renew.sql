select outcome, body from deploy_gate.change_renew(:'request'::jsonb)
