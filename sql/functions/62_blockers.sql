-- What is in the way of a locks session, as its replica's reads session finds out.

-- pid: the backend of a locks session that does not get on. Ends those of the service's own backends that it waits for and whose
-- replica fell silent over 2 s ago in the middle of sending a batch: no timeout of PostgreSQL ends them, and as long as the
-- replica's host lives, nor does TCP. One that waits for a standby sits elsewhere, and is never ended: that would publish a
-- commit that was not replicated. Answers which were ended, and whether the session itself waits for a standby.
create or replace function deploy_gate.clear_way(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	stuck integer := (request ->> 'pid')::integer;
	silent integer[] := array(
		select a.pid from pg_stat_activity a
		join deploy_gate.session s on s.pid = a.pid and s.backend_start = a.backend_start
		where a.pid = any (pg_blocking_pids(stuck)) and a.wait_event = 'ClientRead' and a.xact_start is not null
			and a.state_change < clock_timestamp() - interval '2 s');
begin
	outcome := 'ok';
	body := json_build_object(
		'awaits_standby', exists (select from pg_stat_activity a where a.pid = stuck and a.wait_event = 'SyncRep'),
		-- Found first and ended second: the planner is free to try the parts of one WHERE in any order.
		'ended', array(select pid from unnest(silent) pid where pg_terminate_backend(pid)));
end $$;
