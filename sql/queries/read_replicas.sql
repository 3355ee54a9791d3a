select outcome, body from deploy_gate.read_replicas(:'request'::jsonb)
