select outcome, body from deploy_gate.clear_way(:'request'::jsonb)
