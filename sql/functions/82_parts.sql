-- What the calls for SQL users are made of. Those that the procedures call are for everybody as well, because a procedure runs
-- as its caller.

-- The name itself, if it is one: a bad one raises 22023.
create or replace function deploy_gate.checked(gate text) returns text
language plpgsql immutable as $$
begin
	perform deploy_gate.key(gate);
	return gate;
end $$;

create or replace function deploy_gate.check_reason(reason text) returns void
language plpgsql immutable as $$
begin
	if coalesce(reason, '') = '' or octet_length(reason) > 1024 or reason ~ '[\x01-\x1f\x7f]' then
		raise exception 'deploy-gate: a reason is wanted, of at most 1,024 bytes and without control characters'
			using errcode = '22023';
	end if;
end $$;

create or replace function deploy_gate.must_see_commits() returns void
language plpgsql stable as $$
declare
	isolation text := current_setting('transaction_isolation');
begin
	if pg_is_in_recovery() then
		raise exception 'deploy-gate: a standby knows none of the locks and learns late what was committed'
			using errcode = '25006', hint = 'Ask the primary: target_session_attrs=read-write finds it.';
	elsif isolation in ('repeatable read', 'serializable') then
		raise exception 'deploy-gate: the snapshot of a % transaction stands still: what was committed a moment ago is not in it',
			isolation using errcode = '25001', hint = 'Ask in a read committed transaction, or outside of any.';
	end if;
end $$;

create or replace function deploy_gate.keys_above(gate text) returns bigint[]
language sql immutable security definer set search_path = pg_catalog, deploy_gate, pg_temp as $$
	select array(select deploy_gate.key(p) from unnest(deploy_gate.path(gate)) p where p <> gate order by length(p))
$$;

-- What close_here holds shared: the keys above, and before them a mark for each, which tells deploys from jobs to whom wants to
-- close what is above. The marks are nobody else's, so they are always had; taken first and dropped last, they are there for as
-- long as what they stand for.
create or replace function deploy_gate.keys_shared_by_deploy(gate text) returns bigint[]
language sql immutable security definer set search_path = pg_catalog, deploy_gate, pg_temp as $$
	select array(
			select deploy_gate.prefixed_key('deploy_gate-deploy:', p)
			from unnest(deploy_gate.path(gate)) p where p <> gate order by length(p))
		|| deploy_gate.keys_above(gate)
$$;

-- Whether this session holds the key in that mode.
create or replace function deploy_gate.holds(key bigint, mode text) returns boolean
language sql volatile as $$
	select exists (
		select from pg_locks l
		where l.pid = pg_backend_pid() and l.locktype = 'advisory' and l.objsubid = 1 and l.granted and l.mode = $2
			and (l.classid::bigint << 32) | l.objid::bigint = $1)
$$;

-- Whether nobody else holds one of the keys exclusively, or waits to. Takes and drops a session lock in one expression: one of
-- the transaction would shut deploys out until the caller commits. Behind a waiter a try fails even for who holds the key.
create or replace function deploy_gate.probe(keys bigint[]) returns boolean
language sql volatile as $$
	select bool_and(case when pg_try_advisory_lock_shared(k) then pg_advisory_unlock_shared(k)
			else deploy_gate.holds(k, 'ExclusiveLock') end)
	from unnest(keys) k
$$;

-- Whether the rows keep a deploy in plain SQL out: a window that conflicts, a gap for the jobs that waited.
create or replace function deploy_gate.rows_shut_out(gate text) returns boolean
language sql volatile as $$
	select exists (select from deploy_gate.in_the_way(array[$1], 'window'))
		or exists (
			select from deploy_gate.gate g
			where g.gap_until > clock_timestamp()
				and (g.name = any (deploy_gate.path($1)) or g.name > $1 || '.' and g.name < $1 || '/'))
$$;

-- Whether a job is inside by the rows, whether or not a server has its lock at this moment.
create or replace function deploy_gate.has_passes(gate text) returns boolean
language sql volatile as $$
	select exists (
		select from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease
		where lg.role = 'pass' and not l.overrun and (lg.gate = $1 or lg.gate > $1 || '.' and lg.gate < $1 || '/'))
$$;

-- One try for close_here: 'free', or what was in the way: 'rows'; 'locks', also where they were had but are to be others' still;
-- 'line' for locks after standing in line. What it locks is the transaction's: the next commit, a cancel or an error drops all
-- of it. After 1 s of failed tries it lines up, so that it is not starved by probes and by jobs that come and go: nobody gets
-- in past one who waits. Rows are looked at again behind the locks, for a window may have been made in between.
create or replace function deploy_gate.try_close(gate text, blocked_since timestamptz, until timestamptz) returns text
language plpgsql volatile security definer set search_path = pg_catalog, deploy_gate, pg_temp as $$
declare
	own bigint := deploy_gate.key(gate);
	shared bigint[] := deploy_gate.keys_shared_by_deploy(gate);
	lines_up boolean := clock_timestamp() - blocked_since >= interval '1 s';
	had boolean;
begin
	perform deploy_gate.must_see_commits();
	if deploy_gate.rows_shut_out(gate) then
		return 'rows';
	elsif lines_up then
		had := deploy_gate.line_up(own, shared, until);
	else
		had := coalesce((select bool_and(pg_try_advisory_xact_lock_shared(k)) from unnest(shared) k), true)
			and pg_try_advisory_xact_lock(own);
	end if;
	return case when not had then case when lines_up then 'line' else 'locks' end
		when deploy_gate.rows_shut_out(gate) then 'rows'
		when deploy_gate.has_passes(gate) then 'locks'
		else 'free' end;
end $$;

-- Waits in PostgreSQL's own queue, root to leaf as everybody does, for at most 1 s each: locks of the transaction, for one of
-- the session that fails by its timeout can be held all the same.
create or replace function deploy_gate.line_up(own bigint, above bigint[], until timestamptz) returns boolean
language plpgsql volatile set lock_timeout = '1s' as $$
declare
	key bigint;
	left_ms integer := greatest(least(1000, deploy_gate.ms_between(clock_timestamp(), until)), 1);
begin
	perform set_config('lock_timeout', left_ms::text, true);
	foreach key in array above loop
		perform pg_advisory_xact_lock_shared(key);
	end loop;
	perform pg_advisory_xact_lock(own);
	return true;
exception when lock_not_available or deadlock_detected then
	return false;
end $$;

-- Turns the locks of this transaction, which are had, into the session's: each try is granted at once. exclusive: the gate
-- itself. All in one expression, for a cancel between two of them would leave some behind; a gate has at most seven above it,
-- each with a mark perhaps, and NULL takes nothing. To be called by SELECT INTO, which looks for cancels before it calls and not
-- between the call and the assignment; an assignment does, once its expression could not be planned in peace.
create or replace function deploy_gate.keep(own bigint, above bigint[], exclusive boolean) returns boolean
language sql volatile as $$
	select array[pg_try_advisory_lock_shared(above[1]), pg_try_advisory_lock_shared(above[2]), pg_try_advisory_lock_shared(above[3]),
		pg_try_advisory_lock_shared(above[4]), pg_try_advisory_lock_shared(above[5]), pg_try_advisory_lock_shared(above[6]),
		pg_try_advisory_lock_shared(above[7]), pg_try_advisory_lock_shared(above[8]), pg_try_advisory_lock_shared(above[9]),
		pg_try_advisory_lock_shared(above[10]), pg_try_advisory_lock_shared(above[11]), pg_try_advisory_lock_shared(above[12]),
		pg_try_advisory_lock_shared(above[13]), pg_try_advisory_lock_shared(above[14]),
		case when exclusive then pg_try_advisory_lock(own) else pg_try_advisory_lock_shared(own) end] is not null
$$;

-- Undoes one keep; the locks above only if the gate's own was held, for else they belong to something else.
create or replace function deploy_gate.let_go(own bigint, above bigint[], exclusive boolean) returns boolean
language sql volatile as $$
	select case when exclusive then pg_advisory_unlock(own) else pg_advisory_unlock_shared(own) end
		and array[pg_advisory_unlock_shared(above[14]), pg_advisory_unlock_shared(above[13]), pg_advisory_unlock_shared(above[12]),
			pg_advisory_unlock_shared(above[11]), pg_advisory_unlock_shared(above[10]), pg_advisory_unlock_shared(above[9]),
			pg_advisory_unlock_shared(above[8]), pg_advisory_unlock_shared(above[7]), pg_advisory_unlock_shared(above[6]),
			pg_advisory_unlock_shared(above[5]), pg_advisory_unlock_shared(above[4]), pg_advisory_unlock_shared(above[3]),
			pg_advisory_unlock_shared(above[2]), pg_advisory_unlock_shared(above[1])] is not null
$$;

-- A deploy shows its gate and its reason in application_name: 'deploy-gate: a.b: a migration', in ASCII and cut off at 63 bytes,
-- as PostgreSQL would, but without its notice. Nothing else tells for sure which gate it is whose lock a session holds, for a key
-- does not say of which name it was made.
create or replace function deploy_gate.show_deploy(gate text, reason text) returns void
language plpgsql volatile as $$
begin
	if current_setting('application_name') !~ '^deploy-gate: ' then
		perform set_config('deploy_gate.application_name', current_setting('application_name'), false);
	end if;
	perform set_config('application_name', left(regexp_replace(
		concat_ws(' ', 'deploy-gate:', gate || ':', nullif(reason, '')), '[^ -~]', '?', 'g'), 63), false);
end $$;

-- The gate that an application_name tells, and the reason; null for none.
create or replace function deploy_gate.told_gate(application_name text) returns text
language sql immutable as $$
	select substring(application_name from '^deploy-gate: ([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){0,7}):')
$$;

create or replace function deploy_gate.told_reason(application_name text) returns text
language sql immutable as $$
	select substring(application_name from '^deploy-gate: [A-Za-z0-9_.-]+: (.+)')
$$;

-- Has the server look whether the client is still there, idle or not, so that a lost one frees the gate in seconds.
create or replace function deploy_gate.notice_lost_client() returns void
language plpgsql volatile as $$
begin
	perform set_config('tcp_keepalives_idle', '3', false), set_config('tcp_keepalives_interval', '1', false),
		set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '6000', false);
	begin
		perform set_config('client_connection_check_interval', '1s', false);
	exception when invalid_parameter_value then
		-- A system on which the server cannot look while a statement runs: keepalives do once it is through.
		null;
	end;
end $$;

-- Tells a waiting client every 5 s for whom it waits. What is sent finds out, too, whether the client is still there, which the
-- server does not look at by itself before the next statement; so it is sent whatever messages the session wants.
create or replace function deploy_gate.tell_client(gate text, told_at timestamptz, deploying boolean) returns timestamptz
language plpgsql volatile security definer
set search_path = pg_catalog, deploy_gate, pg_temp set client_min_messages = notice as $$
begin
	if clock_timestamp() - told_at < interval '5 s' then
		return told_at;
	end if;
	raise notice 'deploy-gate: waits to % %: %', case when deploying then 'close' else 'enter' end, gate,
		coalesce(deploy_gate.hindrance(gate, deploying), 'others come and go');
	return clock_timestamp();
end $$;

create or replace function deploy_gate.deadline(timeout interval) returns timestamptz
language plpgsql volatile as $$
begin
	if timeout is null or timeout < interval '0' then
		raise exception 'deploy-gate: % is not a timeout', coalesce(timeout::text, 'NULL') using errcode = '22023';
	end if;
	return clock_timestamp() + timeout;
end $$;

-- Seconds until the next try: 10 ms at first, at most 250 ms, never beyond the deadline, and never in step with others.
create or replace function deploy_gate.pause(tries integer, until timestamptz) returns double precision
language sql volatile as $$
	select greatest(0.001, least(extract(epoch from until - clock_timestamp()),
		least(0.01 * 1.5 ^ least(tries, 8), 0.25) * (0.5 + random() / 2)))
$$;

-- At the deadline raises 55P03 and says who is in the way.
create or replace function deploy_gate.give_up(gate text, until timestamptz, deploying boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, deploy_gate, pg_temp as $$
begin
	if clock_timestamp() >= until then
		raise exception 'deploy-gate: % in time: %', gate || case when deploying then ' could not be closed' else ' did not open' end,
			coalesce(deploy_gate.hindrance(gate, deploying), 'others come and go') using errcode = '55P03';
	end if;
end $$;

-- A sentence that says what shuts the gate, or what keeps a deploy from closing it; null for nothing. Windows go first.
create or replace function deploy_gate.hindrance(gate text, deploying boolean) returns text
language plpgsql volatile as $$
declare
	l deploy_gate.lease;
	own text := case when deploying then 'ExclusiveLock' else 'ShareLock' end;
begin
	select lease.* into l from deploy_gate.lease join deploy_gate.lease_gate lg on lg.lease = lease.id
	where lg.gate = any (deploy_gate.path($1)) and lg.role = 'window'
		or deploying and lg.role <> 'ticket' and not lease.overrun and (lg.gate = $1 or lg.gate > $1 || '.' and lg.gate < $1 || '/')
	order by lg.role desc, lg.gate desc limit 1;
	if found then
		return deploy_gate.lease_sentence(l);
	end if;
	return deploy_gate.outsider_sentence(coalesce(
		deploy_gate.outsiders(array[deploy_gate.key(gate)], own),
		deploy_gate.outsiders(deploy_gate.keys_above(gate), 'ShareLock')) -> 0);
end $$;

create or replace function deploy_gate.lease_sentence(l deploy_gate.lease) returns text
language sql stable as $$
	select format('%s %s by %s since %s', array_to_string(l.gates, ','),
			case when l.kind = 'pass' then 'has a job inside' else 'is ' || deploy_gate.shut_state(l) end, coalesce(l.holder, 'somebody'),
			deploy_gate.rfc3339(coalesce(l.ended_at, l.closed_at, l.created_at)))
		|| coalesce(', until ' || deploy_gate.rfc3339(coalesce(l.opens_at, case when l.ended_at is null then l.expires_at end)), '')
		|| coalesce(': ' || coalesce(l.reason, l.job), '')
$$;

create or replace function deploy_gate.outsider_sentence(o json) returns text
language sql immutable as $$
	select format('session %s (user %s, application %s) %s its lock', o ->> 'pid', o ->> 'user',
		coalesce(quote_literal(nullif(o ->> 'application_name', '')), 'without a name'),
		case when (o ->> 'granted')::boolean then 'holds' else 'waits for' end)
	where o is not null
$$;
