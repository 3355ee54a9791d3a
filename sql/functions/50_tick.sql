-- What happens by itself: expiry, the end of a grace, abandoned closes, what SQL users asked for.

-- touch: gates to settle because somebody announced them. waiting: the jobs that wait at this replica, where that changed.
create or replace function deploy_gate.change_tick(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	-- A batch that had to wait lets the renewals in first that waited with it.
	last_expiry timestamptz := case when deploy_gate.was_held_up() then '-infinity' else at end;
	l deploy_gate.lease;
	r deploy_gate.request;
begin
	perform deploy_gate.touch(array(select jsonb_array_elements_text(request -> 'touch')));
	if request ? 'waiting' then
		update deploy_gate.session set waiting = request -> 'waiting' where number = deploy_gate.batch_session();
	end if;
	for r in select * from deploy_gate.request where done_at is null order by id limit 50 loop
		perform deploy_gate.carry_out(r);
	end loop;
	for l in
		select m.* from deploy_gate.leases_that_matter() m
		where m.ended_at is null and m.expires_at <= last_expiry or m.opens_at <= at or m.unclaimed_at <= at - interval '15 s'
		order by least(m.opens_at, m.expires_at, m.unclaimed_at) limit 50
	loop
		if l.ended_at is not null then
			update deploy_gate.lease set aftermath = null, opens_at = null where id = l.id;
			perform deploy_gate.free_gates(l);
		elsif l.expires_at <= last_expiry then
			perform deploy_gate.expire(l);
		else
			perform deploy_gate.end_lease(l, 'abandoned', null, 'nobody asked for it any more for 15 s');
		end if;
	end loop;
	perform deploy_gate.take_over_from_the_dead(), deploy_gate.notice_silent_claimants();
	outcome := 'ok';
end $$;

create or replace function deploy_gate.expire(l deploy_gate.lease) returns void
language plpgsql as $$
declare
	why constant text := case when l.expires_at = l.max_at then 'it reached its max' else 'its time to live ran out' end;
	grace interval := deploy_gate.ms(greatest(l.grace_ms, case when l.was_attached then 5000 else 0 end));
begin
	if l.kind = 'pass' then
		perform deploy_gate.end_pass(l, 'expired', null, why);
		return;
	end if;
	perform deploy_gate.end_window(l, 'expired', null, why,
		case when l.on_expiry = 'hold' then 'crashed' when grace > interval '0' then 'grace' end,
		case when l.on_expiry <> 'hold' and grace > interval '0' then deploy_gate.batch_now() + grace end);
end $$;

create or replace function deploy_gate.carry_out(r deploy_gate.request) returns void
language plpgsql as $$
declare
	came text;
begin
	select f.outcome into came from deploy_gate.change_force_open(
		jsonb_build_object('gate', r.gate, 'lease', r.lease, 'reason', r.reason, 'by', r."by")) f;
	update deploy_gate.request set done_at = deploy_gate.batch_now(), outcome = came where id = r.id;
end $$;

-- A claim counts only while its session is heard of: the place of a client whose replica fell silent is kept for 15 s.
create or replace function deploy_gate.notice_silent_claimants() returns void
language plpgsql as $$
begin
	update deploy_gate.lease l set unclaimed_at = deploy_gate.batch_now(), claim_session = null, claim_request = null
	where l.id = any (array(select lg.lease from deploy_gate.lease_gate lg where lg.role in ('ticket', 'window')))
		and l.ended_at is null and not l.answered and l.unclaimed_at is null
		and not exists (
			select from deploy_gate.session s
			where s.number = l.claim_session and s.ended_at is null
				and s.stamped_at > deploy_gate.batch_now() - interval '5 s');
end $$;

-- Housekeeping: what ended before this instant is forgotten, a piece at a time. A lease goes with the event of its end.
create or replace function deploy_gate.change_forget(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	before timestamptz := deploy_gate.batch_now() - deploy_gate.ms((request ->> 'retention_ms')::bigint);
begin
	with old as (
		delete from deploy_gate.event
		where id in (select e.id from deploy_gate.event e where e.at < before order by e.id limit 1000)
		returning lease
	)
	delete from deploy_gate.lease l using (select distinct lease from old) o
	where l.id = o.lease and l.ended_at < before and l.aftermath is null;
	delete from deploy_gate.request where done_at < before;
	delete from deploy_gate.session where ended_at < least(before, deploy_gate.batch_now() - interval '1 day');
	outcome := 'ok';
end $$;
