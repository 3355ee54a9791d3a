select outcome, body from deploy_gate.change_renew_attached(:'request'::jsonb)
