-- What SQL users call.
-- A procedure commits before anything else and between its tries: it holds no snapshot back, and inside a transaction block it
-- fails always and not only when it must wait. So it has no SET clause, no EXCEPTION block around its loop, is not SECURITY
-- DEFINER, and leaves all work to functions that are. Nothing here locks the service row, or makes or locks a gate or lease.

create or replace function deploy_gate.is_open(gate text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, deploy_gate, pg_temp as $$
declare
	keys bigint[] := deploy_gate.keys_of(array[deploy_gate.checked(gate)]);
begin
	perform deploy_gate.must_see_commits();
	if (deploy_gate.shutter(gate)).lease is not null then
		return false;
	elsif deploy_gate.probe(keys) then
		return true;
	end if;
	-- A lock of the service that no row explains is just being taken or dropped: the rows, looked at after it, decide.
	return deploy_gate.outsiders(keys, 'ShareLock') is null and (deploy_gate.shutter(gate)).lease is null;
end $$;
comment on function deploy_gate.is_open(text) is
	'Whether the gate and all above it are open now; also where only this session itself shuts it';

create or replace procedure deploy_gate.wait_open(gate text, timeout interval)
language plpgsql as $$
declare
	until timestamptz;
	tries integer := 0;
begin
	commit;
	until := deploy_gate.deadline(timeout);
	while not deploy_gate.is_open(gate) loop
		perform deploy_gate.give_up(gate, until, false);
		commit;
		perform pg_catalog.pg_sleep(deploy_gate.pause(tries, until));
		tries := tries + 1;
	end loop;
end $$;
comment on procedure deploy_gate.wait_open(text, interval) is
	'Returns once the gate is open; 55P03 at the timeout. A statement of its own, with autocommit on: else 2D000';

create or replace procedure deploy_gate.close_here(gate text, reason text, timeout interval)
language plpgsql as $$
declare
	until timestamptz;
	tries integer := 0;
	blocked_since timestamptz;
	told_at timestamptz := clock_timestamp();
	came text;
	own bigint;
	above bigint[];
	closed boolean := false;
begin
	commit;
	until := deploy_gate.deadline(timeout);
	perform deploy_gate.notice_lost_client();
	loop
		came := deploy_gate.try_close(gate, blocked_since, until);
		exit when came = 'free';
		blocked_since := case when came <> 'rows' then coalesce(blocked_since, pg_catalog.clock_timestamp()) end;
		perform deploy_gate.give_up(gate, until, true);
		told_at := deploy_gate.tell_client(gate, told_at, true);
		commit;
		-- One that stood in line is back in it at once: during a pause jobs would get in before it, again and again.
		if came <> 'line' then
			perform pg_catalog.pg_sleep(deploy_gate.pause(tries, until));
			tries := tries + 1;
		end if;
	end loop;
	-- No cancel may part the locks from the success: one that comes when they are had drops them. Behind RETURN none comes, but
	-- one does behind a CALL, even the last, so that enter and this cannot share their end. A cancel can come as two signals, the
	-- second of which would end what the first began: hence the outer block.
	own := deploy_gate.key(gate);
	above := deploy_gate.keys_shared_by_deploy(gate);
	begin
		begin
			perform deploy_gate.show_deploy(gate, reason);
			select deploy_gate.keep(own, above, true) into closed;
			return;
		exception when query_canceled then
			closed := closed and deploy_gate.open_here(gate) is null;
			raise;
		end;
	exception when query_canceled then
		closed := closed and deploy_gate.open_here(gate) is null;
		raise;
	end;
end $$;
comment on procedure deploy_gate.close_here(text, text, interval) is
	'Closes the gate for as long as this session lives, or until open_here; waits for windows, jobs and plain sessions that
hold its lock; 55P03 at the timeout, holding nothing. A statement of its own, with autocommit on: else 2D000. Gate and reason
stand in application_name meanwhile. Done twice, it wants two open_here. Not through a pooler that shares sessions';

create or replace function deploy_gate.open_here(gate text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, deploy_gate, pg_temp as $$
declare
	own bigint := deploy_gate.key(gate);
begin
	if not deploy_gate.holds(own, 'ExclusiveLock') then
		raise warning 'deploy-gate: this session has not closed %', gate;
		return false;
	end if;
	if deploy_gate.told_gate(current_setting('application_name')) = gate then
		perform set_config('application_name', current_setting('deploy_gate.application_name', true), false);
	end if;
	perform pg_notify('deploy_gate', gate);
	return deploy_gate.let_go(own, deploy_gate.keys_shared_by_deploy(gate), true);
end $$;
comment on function deploy_gate.open_here(text) is
	'Ends what close_here began, at once and whatever becomes of the transaction; false, with a warning, where this session had
not closed the gate';

create or replace function deploy_gate.assert_fence(gate text, fence bigint) returns void
language plpgsql volatile security definer set search_path = pg_catalog, deploy_gate, pg_temp as $$
declare
	path text[] := deploy_gate.path(deploy_gate.checked(gate));
begin
	perform deploy_gate.must_see_commits();
	if not exists (
		select from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease
		where lg.role = 'window' and lg.gate = any (path) and l.state = 'closed' and l.fence = $2)
	then
		raise exception 'deploy-gate: no window with fence % is live over %', coalesce($2::text, 'NULL'), gate
			using errcode = '55000', detail = coalesce((
				select format('It ended at %s: %s.', deploy_gate.rfc3339(l.ended_at), concat_ws(', ', l.ending, l.end_reason))
				from deploy_gate.lease l
				where l.kind = 'window' and l.fence = $2 and l.gates && path and l.ended_at is not null),
				deploy_gate.hindrance(gate, false), 'Nothing shuts the gate.'),
				hint = 'Somebody else may have the gate by now: roll back, close it again, start over.';
	end if;
end $$;
comment on function deploy_gate.assert_fence(text, bigint) is
	'Raises 55000 unless the window of that fence, over the gate or one above it, is closed and live at this instant: the last
statement before COMMIT in what must not end outside its window';

create or replace function deploy_gate.force_open(gate text, reason text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, deploy_gate, pg_temp as $$
declare
	name text := deploy_gate.checked(gate);
	shut_by text;
	shut_lease text;
begin
	perform deploy_gate.must_see_commits(), deploy_gate.check_reason(reason);
	select s.by, s.lease into shut_by, shut_lease from deploy_gate.shutter(name) s;
	if shut_lease is null and deploy_gate.hindrance(name, false) is not null then
		raise exception 'deploy-gate: the service cannot open %: %', name, deploy_gate.hindrance(name, false)
			using errcode = '55000', hint = 'End that session, for instance by pg_terminate_backend(pid).';
	elsif shut_lease is null then
		raise exception 'deploy-gate: nothing shuts %', name using errcode = '55000';
	elsif shut_by <> name then
		raise exception 'deploy-gate: % is shut by one above it: %', name, deploy_gate.hindrance(name, false)
			using errcode = '55000', hint = format('Open %s, if it is meant.', shut_by);
	end if;
	insert into deploy_gate.request (kind, gate, lease, reason, by) values ('force_open', name, shut_lease, $2, session_user);
	perform pg_notify('deploy_gate', '!');
	return shut_lease;
end $$;
comment on function deploy_gate.force_open(text, text) is
	'Asks the service to end the window, or the crashed state, that shuts the gate now, whosever it is; returns the id of that
lease. Takes effect within 1 s of the commit, is recorded, and never ends a later window. Nobody but the owner may call it
until told so: GRANT EXECUTE ON FUNCTION deploy_gate.force_open(text, text) TO somebody';
