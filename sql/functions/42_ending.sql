-- How a window ends: opened, forced, or by what other files decide.

-- Ends a window, or a ticket, and returns it as it is then. An aftermath keeps its gates shut: 'grace' until opens, 'crashed' until somebody takes over.
create or replace function deploy_gate.end_window(l deploy_gate.lease, how text, who text, why text,
	leaves text default null, opens timestamptz default null) returns deploy_gate.lease
language plpgsql as $$
begin
	if l.replaced is not null and l.closed_at is null and leaves is null and how not in ('forced', 'taken_over') then
		perform deploy_gate.crash_again(l);
	end if;
	perform deploy_gate.record(how, l, why, who);
	l.state := 'ended';
	l.ended_at := deploy_gate.batch_now();
	l.ending := how;
	l.ended_by := who;
	l.end_reason := why;
	l.aftermath := leaves;
	l.opens_at := opens;
	update deploy_gate.lease
	set state = l.state, ended_at = l.ended_at, ending = l.ending, ended_by = l.ended_by, end_reason = l.end_reason,
		claim_session = null, claim_request = null, unclaimed_at = null, aftermath = l.aftermath, opens_at = l.opens_at
	where id = l.id;
	if l.let_in then
		perform deploy_gate.make_ordinary(l);
	end if;
	if leaves is null then
		perform deploy_gate.free_gates(l);
	else
		perform deploy_gate.change(l.gates);
	end if;
	return l;
end $$;

-- A rollback that never got to close must not let the jobs in on what is broken: what it took the place of is crashed again, and
-- guarded by the locks that it had.
create or replace function deploy_gate.crash_again(l deploy_gate.lease) returns void
language plpgsql as $$
declare
	old deploy_gate.lease;
begin
	for old in
		update deploy_gate.lease o set aftermath = 'crashed', session = l.session, locked = false
		where o.id = any (l.replaced) returning *
	loop
		perform deploy_gate.list_gates(old, 'window'), deploy_gate.touch(old.gates);
	end loop;
	update deploy_gate.lease o set replaced = null where o.id = l.id;
end $$;

-- The gates of a window open. Where jobs waited and deploys queue, they stay open for a gap.
create or replace function deploy_gate.free_gates(l deploy_gate.lease) returns void
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	-- Null where it never closed. It may look as if it had begun after its end, where the clock was stepped back.
	lasted_ms bigint := case when l.closed_at is not null then greatest(deploy_gate.ms_between(l.closed_at, at), 0) end;
	gap boolean := false;
begin
	if l.jobs_waited then
		gap := exists (select from deploy_gate.in_the_way(l.gates, 'ticket'));
	end if;
	delete from deploy_gate.lease_gate where lease = l.id;
	update deploy_gate.gate
	set freed_at = at, gap_until = case when gap then at + deploy_gate.ms(coalesce(gap_ms, 500)) end, fence = coalesce(l.fence, fence),
		typical_ms = coalesce((3 * coalesce(typical_ms, lasted_ms) + lasted_ms) / 4, typical_ms)
	where name = any (l.gates);
	perform deploy_gate.leave_locks(l.gates), deploy_gate.change(l.gates);
end $$;

-- digest gates outcome reason known_only: ends the window of the token, whole, if gates name one of its own.
create or replace function deploy_gate.change_open(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	l deploy_gate.lease;
	failed boolean := coalesce(request ->> 'outcome', '') = 'failed';
begin
	l := (select x from deploy_gate.lease x where x.id = left(request ->> 'digest', 32));
	if l.id is null or l.digest <> request ->> 'digest' or l.kind <> 'window' or not (request -> 'gates') ?| l.gates then
		if request ->> 'known_only' = 'true' and not deploy_gate.all_known(deploy_gate.names_in(request -> 'gates')) then
			outcome := 'not_found';
			return;
		end if;
		outcome := 'not_holder';
		body := json_build_object('gate', deploy_gate.gate_json(request -> 'gates' ->> 0, at));
	elsif l.ending is not null and l.ending not in ('opened', 'failed') then
		outcome := 'gone';
		body := json_build_object('lease', deploy_gate.lease_json(l, at));
	else
		if l.state = 'queued' then
			l := deploy_gate.end_window(l, 'opened', l.holder, request ->> 'reason');
		elsif l.ended_at is null then
			l := deploy_gate.end_window(l, case when failed then 'failed' else 'opened' end, l.holder, request ->> 'reason',
				case when failed then 'crashed' end);
		end if;
		outcome := 'ok';
		body := deploy_gate.lease_json(l, at);
	end if;
end $$;

create or replace function deploy_gate.ended_json(id text) returns json
language plpgsql stable as $$
begin
	return (select deploy_gate.lease_json(l, deploy_gate.batch_now()) from deploy_gate.lease l where l.id = $1);
end $$;

-- gate reason by lease known_only: ends the window, or the aftermath, that shuts the gate itself; with lease only if it is that one.
create or replace function deploy_gate.change_force_open(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	gate text := request ->> 'gate';
	shut_by text;
	shut_lease text;
	l deploy_gate.lease;
begin
	select s.by, s.lease into shut_by, shut_lease from deploy_gate.shutter(gate) s;
	if request ->> 'lease' <> coalesce(shut_lease, '') then
		select * into l from deploy_gate.lease where id = request ->> 'lease' and gates @> array[gate];
		outcome := case when l.id is null then 'not_found' when l.ended_at is null then 'not_holder'
			when deploy_gate.was_forced(l, gate) then 'ok' else 'gone' end;
		body := case outcome when 'ok' then deploy_gate.ended_json(l.id)
			when 'gone' then json_build_object('lease', deploy_gate.lease_json(l, at))
			when 'not_holder' then json_build_object('gate', deploy_gate.gate_json(gate, at)) end;
	elsif shut_by = gate then
		select * into l from deploy_gate.lease where id = shut_lease;
		perform deploy_gate.force_window(l, request ->> 'by', request ->> 'reason');
		outcome := 'ok';
		body := deploy_gate.ended_json(l.id);
	else
		body := json_build_object('gate', deploy_gate.gate_json(gate, at));
		outcome := case when request ->> 'known_only' = 'true' and not (body #>> '{gate,known}')::boolean then 'not_found'
			when body #>> '{gate,state}' in ('open', 'full') then 'not_holder' else 'held' end;
	end if;
end $$;

-- Whether somebody forced it open before, live or crashed.
create or replace function deploy_gate.was_forced(l deploy_gate.lease, at_gate text) returns boolean
language plpgsql stable as $$
begin
	return l.ending = 'forced' or exists (
		select from deploy_gate.event e where e.gate = at_gate and e.lease = l.id and e.kind = 'forced');
end $$;

create or replace function deploy_gate.force_window(l deploy_gate.lease, who text, why text) returns void
language plpgsql as $$
begin
	if l.ended_at is null then
		perform deploy_gate.end_window(l, 'forced', who, why);
	else
		update deploy_gate.lease set aftermath = null, opens_at = null where id = l.id;
		perform deploy_gate.record('forced', l, why, who), deploy_gate.free_gates(l);
	end if;
end $$;
