select what, lease, outcome, key, mode, body
from deploy_gate.settle(:'held_x'::bigint[], :'held_s'::bigint[], :'everything'::boolean, :'closes'::text[])
