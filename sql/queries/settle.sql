select what, lease, outcome, key, mode, body from deploy_gate.settle(:'everything'::boolean)
