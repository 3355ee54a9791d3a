select deploy_gate.begin(:'me'::bigint)
