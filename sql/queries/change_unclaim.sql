select outcome, body from deploy_gate.change_unclaim(:'request'::jsonb)
