select outcome, body from deploy_gate.change_closes(:'request'::jsonb)
