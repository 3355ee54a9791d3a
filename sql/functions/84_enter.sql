-- Jobs in plain SQL: enter and leave. Beside enter stand the same rules as beside the procedures of SQL users above it.

create or replace procedure deploy_gate.enter(gate text, timeout interval)
language plpgsql as $$
declare
	until timestamptz;
	tries integer := 0;
	told_at timestamptz := clock_timestamp();
	own bigint;
	above bigint[];
	inside boolean := false;
begin
	commit;
	until := deploy_gate.deadline(timeout);
	perform deploy_gate.notice_lost_client();
	while not deploy_gate.try_enter(gate) loop
		perform deploy_gate.give_up(gate, until, false);
		told_at := deploy_gate.tell_client(gate, told_at, false);
		commit;
		perform pg_catalog.pg_sleep(deploy_gate.pause(tries, until));
		tries := tries + 1;
	end loop;
	-- As in close_here: no cancel may part the locks from the success, nor may a second one.
	own := deploy_gate.key(gate);
	above := deploy_gate.keys_above(gate);
	begin
		begin
			select deploy_gate.keep(own, above, false) into inside;
			return;
		exception when query_canceled then
			inside := inside and deploy_gate.leave(gate) is null;
			raise;
		end;
	exception when query_canceled then
		inside := inside and deploy_gate.leave(gate) is null;
		raise;
	end;
end $$;
comment on procedure deploy_gate.enter(text, interval) is
	'A job in this session: returns once it is inside, where deploys wait for it until leave or the end of the session; 55P03 at
the timeout, holding nothing. A statement of its own, with autocommit on: else 2D000. Done twice, it wants two leave. Not
through a pooler that shares sessions';

create or replace function deploy_gate.leave(gate text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, deploy_gate, pg_temp as $$
declare
	own bigint := deploy_gate.key(gate);
begin
	if not deploy_gate.holds(own, 'ShareLock') then
		raise warning 'deploy-gate: this session is not inside %', gate;
		return false;
	end if;
	-- To notify costs every commit in the cluster a little: only where a deploy may wait for this.
	if (deploy_gate.shutter(gate)).lease is not null then
		perform pg_notify('deploy_gate', gate);
	end if;
	return deploy_gate.let_go(own, deploy_gate.keys_above(gate), false);
end $$;
comment on function deploy_gate.leave(text) is
	'Ends what one enter of the same gate began, at once and whatever becomes of the transaction; false, with a warning, where
this session was not inside';

-- One try for enter. What it locks is the transaction's: the next commit, a cancel or an error drops all of it. The rows go
-- first, so that a draining window keeps newcomers out, who could starve it; and they are looked at again behind the locks,
-- for a window may have closed meanwhile over those who stayed, and hold no lock itself.
create or replace function deploy_gate.try_enter(gate text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, deploy_gate, pg_temp as $$
declare
	path text[] := deploy_gate.path(deploy_gate.checked(gate));
	inside text[] := '{}';
begin
	perform deploy_gate.must_see_commits();
	if deploy_gate.shut_to(path, inside) then
		inside := deploy_gate.inside_of(path);
		if deploy_gate.shut_to(path, inside) then
			return false;
		end if;
	end if;
	if not (
		select bool_and(pg_try_advisory_xact_lock_shared(k))
		from unnest(deploy_gate.keys_above(gate) || deploy_gate.key(gate)) k)
	then
		return false;
	end if;
	return not deploy_gate.shut_to(path, inside);
end $$;

-- Whether a window shuts one of these gates to who is inside of those. A draining window waits for whoever is inside already:
-- were they to wait for it when they enter again, or a gate below, neither would ever go on.
create or replace function deploy_gate.shut_to(path text[], inside text[]) returns boolean
language sql volatile as $$
	select exists (
		select from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease
		where lg.gate = any ($1) and lg.role = 'window' and (l.state <> 'draining' or lg.gate <> all ($2)))
$$;

-- Those of the gates whose locks this session has shared.
create or replace function deploy_gate.inside_of(path text[]) returns text[]
language sql volatile as $$
	select array(select p from unnest($1) p where deploy_gate.holds(deploy_gate.key(p), 'ShareLock'))
$$;
