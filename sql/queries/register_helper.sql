select deploy_gate.register_helper(:'role'::text, :'replica'::text, :'name'::text, :'version'::text, :'host'::text)
