select outcome, body from deploy_gate.change_jobs_wait(:'request'::jsonb)
