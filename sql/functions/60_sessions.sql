-- Replicas: how a session registers, proves that it lives, and is followed by another.

-- Registers a locks session and moves to it whatever a predecessor of the same name left: number is its name from now on. A
-- predecessor whose backend is still there is ended first, and the caller asks again: then number is null and why says so.
-- One that waits for a standby is never ended, for that would publish a commit that was not replicated. Registering itself waits
-- for no standby: whatever is answered on the strength of it is written behind it, and so comes there behind it.
create or replace function deploy_gate.register_locks(replica text, name text, version text, host text,
	out number bigint, out why text)
language plpgsql as $$
declare
	old record;
begin
	for old in
		select s.*, a.pid is not null as alive, a.wait_event = 'SyncRep' as in_syncrep
		from deploy_gate.session s
		left join pg_stat_activity a on a.pid = s.pid and a.backend_start = s.backend_start
		where s.role = 'locks' and s.ended_at is null and s.name = $2
	loop
		if old.alive and old.replica = $1 then
			if not coalesce(old.in_syncrep, false) then
				perform pg_terminate_backend(old.pid);
			end if;
			why := format('waits for the end of its earlier session %s (backend %s)', old.number, old.pid);
			return;
		end if;
	end loop;
	perform set_config('synchronous_commit', 'local', true), deploy_gate.recognise_database();
	insert into deploy_gate.session as s (role, replica, name, version, host, pid, backend_start)
	select 'locks', $1, $2, $3, $4, pg_backend_pid(), a.backend_start from pg_stat_activity a where a.pid = pg_backend_pid()
	returning s.number into number;
	perform pg_advisory_lock(deploy_gate.prefixed_key('deploy_gate-session:', number::text));
	for old in
		select s.* from deploy_gate.session s
		left join pg_stat_activity a on a.pid = s.pid and a.backend_start = s.backend_start
		where s.role = 'locks' and s.ended_at is null and s.name = $2 and a.pid is null
	loop
		perform deploy_gate.supersede(old.number, number, 'superseded by ' || number);
	end loop;
	-- A process may have died behind its locks session: what else it had registered since has nobody to end it.
	update deploy_gate.session helper set ended_at = clock_timestamp(), end_reason = 'superseded by ' || register_locks.number
	where helper.role <> 'locks' and helper.name = $2 and helper.replica <> $1 and helper.ended_at is null
		and not exists (
			select from pg_stat_activity a where a.pid = helper.pid and a.backend_start = helper.backend_start);
	-- One that was taken for dead and lives goes on with what else it had registered: unregistered, its probes would be taken for
	-- somebody outside.
	update deploy_gate.session helper set ended_at = null, end_reason = null
	from pg_stat_activity a
	where helper.role <> 'locks' and helper.replica = $1 and helper.ended_at is not null and helper.end_reason <> 'reconnected'
		and a.pid = helper.pid and a.backend_start = helper.backend_start;
end $$;

create or replace function deploy_gate.register_helper(role text, replica text, name text, version text, host text)
returns void
language plpgsql as $$
begin
	perform set_config('synchronous_commit', 'local', true);
	update deploy_gate.session s set ended_at = clock_timestamp(), end_reason = 'reconnected'
	where s.role = $1 and s.replica = $2 and s.ended_at is null;
	insert into deploy_gate.session (role, replica, name, version, host, pid, backend_start)
	select $1, $2, $3, $4, $5, pg_backend_pid(), a.backend_start from pg_stat_activity a where a.pid = pg_backend_pid();
	perform deploy_gate.refuse_strange_database();
end $$;

-- A session is over: its leases go to another, which has to take their locks. Its claims go with them only within one process:
-- the requests of one that died have nobody to answer them.
create or replace function deploy_gate.supersede(old bigint, new bigint, why text) returns void
language sql as $$
	update deploy_gate.session helper set ended_at = clock_timestamp(), end_reason = why
	from deploy_gate.session own, deploy_gate.session heir
	where own.number = old and heir.number = new and helper.ended_at is null
		and (helper.number = old or helper.replica = own.replica and own.replica <> heir.replica);
	update deploy_gate.lease l
	set session = case when l.session = old then new else l.session end, locked = l.locked and l.session <> old,
		claim_session = case when l.claim_session <> old then l.claim_session when process.lives then new end,
		claim_request = case when l.claim_session <> old or process.lives then l.claim_request end
	from (
		select own.replica = heir.replica as lives
		from deploy_gate.session own, deploy_gate.session heir where own.number = old and heir.number = new) process
	where l.id = any (array(select lg.lease from deploy_gate.lease_gate lg)) and (l.session = old or l.claim_session = old);
$$;

-- Sessions that are dead have their leases taken over by the judge, which must itself have served for a while: else the
-- first replica back after an outage would take everything. Nobody else can hold a proof of life that can be had.
create or replace function deploy_gate.take_over_from_the_dead() returns void
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	dead bigint;
begin
	for dead in
		select s.number from deploy_gate.session s, deploy_gate.service v
		where s.role = 'locks' and s.ended_at is null and s.number <> deploy_gate.batch_session()
			and s.stamped_at < at - interval '3 s' and v.serving_since < at - interval '3 s'
	loop
		if pg_try_advisory_lock(deploy_gate.prefixed_key('deploy_gate-session:', dead::text)) then
			perform pg_advisory_unlock(deploy_gate.prefixed_key('deploy_gate-session:', dead::text)),
				deploy_gate.supersede(dead, deploy_gate.batch_session(), 'died; taken over by ' || deploy_gate.batch_session()),
				deploy_gate.touch(array(select distinct lg.gate from deploy_gate.lease_gate lg));
		else
			perform deploy_gate.end_hoarder(dead);
		end if;
	end loop;
end $$;

-- A replica that stands still lives, by its proof, and goes on holding what its leases no longer want: nobody else could have
-- those gates. Its backend is ended, and it starts afresh when it moves again.
create or replace function deploy_gate.end_hoarder(number bigint) returns void
language plpgsql as $$
declare
	hoarder integer := (
		select a.pid from deploy_gate.session s
		join pg_stat_activity a on a.pid = s.pid and a.backend_start = s.backend_start
		where s.number = $1 and s.stamped_at < deploy_gate.batch_now() - interval '5 s'
			and a.wait_event is distinct from 'SyncRep'
			and exists (
				select from pg_locks l, lateral (select (l.classid::bigint << 32) | l.objid::bigint) k (key)
				where l.pid = a.pid and l.locktype = 'advisory' and l.objsubid = 1 and l.granted
					and l.database = (select oid from pg_database where datname = current_database())
					and k.key <> deploy_gate.prefixed_key('deploy_gate-session:', s.number::text)
					and not exists (
						select from deploy_gate.lease_gate lg join deploy_gate.lease w on w.id = lg.lease
						where w.session = s.number and lg.role <> 'ticket' and k.key = any (lg.key || lg.ancestor_keys))));
begin
	perform pg_terminate_backend(hoarder);
end $$;

-- A clean stop: the leases go to the replica that was heard of last, or stay for the next one of this name. Their locks are
-- dropped before that is announced, so that the heir gets them at its first try; and announced with "!", because one that holds
-- nothing so far looks at no other announcement before its next tick, and meanwhile nobody would guard them.
create or replace function deploy_gate.change_leave(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	me bigint := deploy_gate.batch_session();
	heir bigint;
	gates text[];
begin
	select s.number into heir from deploy_gate.session s
	where s.role = 'locks' and s.ended_at is null and s.number <> me
		and s.stamped_at > deploy_gate.batch_now() - interval '5 s'
	order by s.stamped_at desc limit 1;
	if heir is not null then
		gates := array(
			select distinct lg.gate from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease where l.session = me);
		perform deploy_gate.supersede(me, heir, 'left'), deploy_gate.leave_locks(gates), deploy_gate.change(array['!'] || gates),
			set_config('deploy_gate.stamped_at', '', false);
	end if;
	outcome := 'ok';
end $$;

-- The service belongs to one database cluster. A promoted standby has a larger timeline and may have lost commits, so its
-- fences leave room for those that were handed out; anything else is refused until somebody calls adopt_database().
create or replace function deploy_gate.recognise_database() returns void
language plpgsql as $$
declare
	here text := (select system_identifier::text from pg_control_system());
	timeline_now bigint := deploy_gate.timeline();
	known deploy_gate.service;
begin
	insert into deploy_gate.service (system_identifier, timeline, stamped_at, serving_since)
	values (here, timeline_now, clock_timestamp(), clock_timestamp()) on conflict do nothing;
	select * into known from deploy_gate.service for no key update;
	perform deploy_gate.refuse_strange_database();
	if known.timeline < timeline_now then
		perform setval('deploy_gate.fence', nextval('deploy_gate.fence') + 1000000);
		update deploy_gate.service set timeline = timeline_now;
	end if;
end $$;

-- Nor may anything be read where nothing may be decided: an older state knows of no window that was closed since.
create or replace function deploy_gate.refuse_strange_database() returns void
language plpgsql as $$
declare
	here text := (select system_identifier::text from pg_control_system());
	timeline_now bigint := deploy_gate.timeline();
	known deploy_gate.service;
begin
	select * into known from deploy_gate.service;
	if known.system_identifier <> here or known.timeline > timeline_now then
		raise exception 'deploy-gate: this database was copied or is older than what the service has seen: system % timeline %, known % and %',
			here, timeline_now, known.system_identifier, known.timeline using errcode = 'DG002',
			hint = 'If it is to be the service''s database from now on, run there: select deploy_gate.adopt_database()';
	end if;
end $$;

create or replace function deploy_gate.timeline() returns bigint
language sql volatile as $$
	select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint
$$;

create or replace function deploy_gate.adopt_database() returns void
language sql as $$
	update deploy_gate.service set system_identifier = (select system_identifier::text from pg_control_system()),
		timeline = deploy_gate.timeline();
	select setval('deploy_gate.fence', nextval('deploy_gate.fence') + 1000000);
$$;
comment on function deploy_gate.adopt_database() is
	'Says that this copy is to be the service''s database from now on; fences jump by 1,000,000';
