-- Locks the one service row, so that of all replicas only one batch is decided at a time; reads the clock behind that, once for the
-- whole batch; and stamps the service and this session where due, by which it is seen that the session is still whom it claims to
-- be. held_up_ms: for how long begin has failed before, because somebody else had the row. held_x, held_s: the account of the
-- locks this session holds, because PostgreSQL counts a lock taken twice. The service's stamp comes first: where the clock was
-- stepped, all others move with it. No function, for this begins each batch, and to enter one costs half as much again.
select
	case when (b.stamped_at between b.at - interval '500 ms' and b.at) is not true
		then deploy_gate.stamp_service(b.at, b.at - b.stamped_at) end,
	case when (b.own_stamped_at between b.at - interval '500 ms' and b.at) is not true
		then deploy_gate.stamp_session(:'me'::bigint, b.at) end,
	set_config('deploy_gate.now', b.at::text, true),
	case when b.at - now() > interval '1 s' - deploy_gate.ms(:'held_up_ms'::bigint)
		then set_config('deploy_gate.held_up', 'yes', true) end,
	case when :'held_x'::text <> '{}' then set_config('deploy_gate.held_x', :'held_x'::text, true) end,
	case when :'held_s'::text <> '{}' then set_config('deploy_gate.held_s', :'held_s'::text, true) end,
	case when current_setting('deploy_gate.postponed', true) <> '' then set_config('deploy_gate.postponed', '', false) end
from (
	select locked.stamped_at, nullif(current_setting('deploy_gate.stamped_at', true), '')::timestamptz as own_stamped_at,
		clock_timestamp() as at
	from (select v.stamped_at from deploy_gate.service v for no key update) locked) b
