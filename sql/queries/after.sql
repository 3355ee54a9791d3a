select deploy_gate.after(:'drop_x'::bigint[], :'drop_s'::bigint[], :'announcement'::text)
