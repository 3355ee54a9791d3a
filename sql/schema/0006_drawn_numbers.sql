-- A new lease draws its numbers by default: what draws them in a list of its own, PostgreSQL makes a step of the plan by itself.

alter table deploy_gate.lease
	alter column number set default nextval('deploy_gate.ticket_number'),
	alter column fence set default nextval('deploy_gate.fence');
