select deploy_gate.begin(:'me'::bigint, :'held_up_ms'::bigint, :'held_x'::bigint[], :'held_s'::bigint[])
