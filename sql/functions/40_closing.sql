-- How a close becomes a window, or stands in line.
-- Here and below each change takes one JSON object and answers with an outcome word and what is to be told; none raises.
-- digest: SHA-256 of the lease's token in hex, whose first 32 digits are the lease's id.

-- digest gates holder reason release url job ttl_ms max_ms wait_ms drain_ms on_drain on_expiry grace_ms takeover known_only,
-- claim, the number of the request, and again where it asked before: ok (already had), queued, gone, token_used, held, made,
-- or 'settling': settle tells how it came out.
create or replace function deploy_gate.change_close(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	gates text[] := array(select jsonb_array_elements_text(request -> 'gates'));
	l deploy_gate.lease;
	blocker text;
	crowded boolean;
	gap interval;
begin
	select * into l from deploy_gate.lease where id = left(request ->> 'digest', 32);
	if l.id is not null then
		if l.digest <> request ->> 'digest' or l.kind <> 'window' or not (l.gates @> gates and l.gates <@ gates) then
			outcome := 'token_used';
			body := json_build_object('lease', deploy_gate.lease_json(l, at));
			return;
		elsif l.state = 'ended' then
			outcome := 'gone';
			body := json_build_object('lease', deploy_gate.lease_json(l, at));
			return;
		end if;
		perform deploy_gate.claim(l, (request ->> 'claim')::bigint, request ? 'again');
		if l.state = 'closed' then
			outcome := case when l.answered then 'ok' else 'made' end;
			body := deploy_gate.lease_json(l, at);
			return;
		elsif l.state = 'draining' then
			outcome := 'settling';
			perform deploy_gate.touch(l.gates), deploy_gate.await_settling(l.id);
			return;
		end if;
	elsif request ->> 'known_only' = 'true' and exists (
			select from unnest(gates) n where not exists (select from deploy_gate.gate g where g.name = n)) then
		outcome := 'not_found';
		return;
	else
		l := deploy_gate.lease_of(request, gates);
	end if;

	select a.crowded, a.gap into crowded, gap from deploy_gate.look_around(gates) a;
	if crowded then
		blocker := deploy_gate.blocking_gate(l, coalesce((request ->> 'takeover')::boolean, false));
	end if;
	if blocker is null and gap is null then
		l := deploy_gate.make_window(l, crowded);
		if l.state = 'closed' then
			outcome := 'made';
			body := deploy_gate.lease_json(l, at);
		else
			outcome := 'settling';
			perform deploy_gate.await_settling(l.id);
		end if;
	elsif blocker is not null and l.wait_until <= at then
		outcome := 'held';
		body := json_build_object('gate', deploy_gate.gate_json(blocker, at));
		if l.number is not null then
			perform deploy_gate.forget_ticket(l);
		end if;
	else
		if l.number is null then
			perform deploy_gate.make_ticket(l);
		end if;
		outcome := 'queued';
		body := json_build_object('ask_again_ms', coalesce(ceil(extract(epoch from gap) * 1000), 500));
	end if;
end $$;

-- A lease as asked for, not stored yet. What was not asked comes from the settings of the first gate, then from the defaults.
create or replace function deploy_gate.lease_of(request jsonb, gates text[]) returns deploy_gate.lease
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	l deploy_gate.lease := jsonb_populate_record(null::deploy_gate.lease, request);
	g deploy_gate.gate;
begin
	select * into g from deploy_gate.gate where name = gates[1];
	l.id := left(l.digest, 32);
	l.kind := 'window';
	l.gates := gates;
	l.max_ms := coalesce(l.max_ms, g.max_ms, 4 * 60 * 60 * 1000);
	l.ttl_ms := least(coalesce(l.ttl_ms, g.ttl_ms, 30 * 60 * 1000), l.max_ms);
	l.drain_ms := coalesce(l.drain_ms, g.drain_ms, 10 * 60 * 1000);
	l.on_drain := coalesce(l.on_drain, g.on_drain, 'abort');
	l.on_expiry := coalesce(l.on_expiry, g.on_expiry, 'open');
	l.grace_ms := coalesce(l.grace_ms, g.grace_ms, 0);
	l.created_at := at;
	l.wait_until := at + deploy_gate.ms(coalesce((request ->> 'wait_ms')::bigint, 0));
	l.claim_session := deploy_gate.batch_session();
	l.claim_request := (request ->> 'claim')::bigint;
	l.locked := false;
	l.answered := false;
	l.attached := false;
	l.was_attached := false;
	l.contested := false;
	l.overrun := false;
	l.jobs_waited := false;
	return l;
end $$;

-- From now on this request answers for the lease, unless it merely asks again and another came later; and a window that is closed is answered by it. Where another was answered
-- already, neither is to answer for it: a hang-up of the one must not take back what the other was told.
create or replace function deploy_gate.claim(l deploy_gate.lease, request bigint, again boolean) returns void
language plpgsql as $$
begin
	update deploy_gate.lease
	set claim_session = case when not answered then deploy_gate.batch_session() end,
		claim_request = case when not answered then request end, unclaimed_at = null,
		answered = answered or state = 'closed'
	where id = l.id and (claim_session, claim_request) is distinct from (deploy_gate.batch_session(), request)
		and not (again and claim_session is not null);
end $$;

-- Whether a window may take the place of this one: it crashed, or that is wanted; and all it shuts is covered, for what it
-- shuts beyond that would open by accident.
create or replace function deploy_gate.replaceable(old deploy_gate.lease, gates text[], takeover boolean) returns boolean
language plpgsql stable as $$
begin
	return (
		select (takeover or coalesce(old.aftermath, '') = 'crashed') and not exists (
			select from unnest(old.gates) o where not deploy_gate.path(o) && gates));
end $$;

-- The gate that keeps this ticket from becoming a window: that of a window, or of an older ticket; null for none.
create or replace function deploy_gate.blocking_gate(l deploy_gate.lease, takeover boolean) returns text
language plpgsql as $$
declare
	other deploy_gate.lease;
begin
	for other in select * from deploy_gate.leases_in_the_way(l.gates, 'window') loop
		if not deploy_gate.replaceable(other, l.gates, takeover) then
			return other.gates[1];
		end if;
	end loop;
	if takeover then
		return null;
	end if;
	for other in select * from deploy_gate.leases_in_the_way(l.gates, 'ticket') loop
		if other.number < coalesce(l.number, other.number + 1) and deploy_gate.counts(other) then
			return other.gates[1];
		end if;
	end loop;
	return null;
end $$;

-- Whether a ticket is to be waited for. One without a claim, or whose claimant's session fell silent, is passed over; so is
-- one that could have become a window for 1 s and did not ask.
create or replace function deploy_gate.counts(t deploy_gate.lease) returns boolean
language plpgsql stable as $$
begin
	return (
		select t.claim_session is not null
			and exists (
				select from deploy_gate.session s
				where s.number = t.claim_session and s.stamped_at > deploy_gate.batch_now() - interval '5 s')
			and (coalesce((select max(k.freed_at) from deploy_gate.kin(t.gates) k), t.created_at) > deploy_gate.batch_now() - interval '1 s'
				or deploy_gate.gap_left(t.gates) is not null
				or exists (
					select from deploy_gate.in_the_way(t.gates, 'window') b join deploy_gate.lease w on w.id = b
					where not deploy_gate.replaceable(w, t.gates, false))
				or exists (
					select from deploy_gate.in_the_way(t.gates, 'ticket') b join deploy_gate.lease older on older.id = b
					where older.number < t.number and older.claim_session is not null)));
end $$;

-- Whether any lease is near these gates at all, and how long nothing may close them yet; in one statement, because mostly
-- there is neither.
create or replace function deploy_gate.look_around(gates text[], out crowded boolean, out gap interval)
language plpgsql stable as $$
begin
	select exists (select from unnest(deploy_gate.paths(gates)) p join deploy_gate.lease_gate lg on lg.gate = p)
			or exists (
				select from unnest(gates) n join deploy_gate.lease_gate lg on lg.gate > n || '.' and lg.gate < n || '/'),
		(select max(k.gap_until) from deploy_gate.kin(gates) k where k.gap_until > deploy_gate.batch_now())
			- deploy_gate.batch_now()
	into crowded, gap;
end $$;

-- How long nothing may close these gates yet, so that jobs that waited get in between two windows; null for not at all.
create or replace function deploy_gate.gap_left(gates text[]) returns interval
language plpgsql stable as $$
begin
	return (
		select max(k.gap_until) - deploy_gate.batch_now()
		from deploy_gate.kin(gates) k
		where k.gap_until > deploy_gate.batch_now());
end $$;

create or replace function deploy_gate.make_ticket(l deploy_gate.lease) returns void
language plpgsql as $$
begin
	l.state := 'queued';
	l.number := nextval('deploy_gate.ticket_number');
	insert into deploy_gate.lease select l.*;
	perform deploy_gate.list_gates(l, 'ticket'), deploy_gate.record('queued', l, l.reason, l.holder), deploy_gate.change(l.gates);
end $$;

-- Makes the ticket, or the lease that needed none, a window, and returns it: closed where its locks are had at once, else
-- draining until settle has them. One that takes the place of another inherits the session that holds its locks, so that they
-- never drop in between. crowded: whether any lease is near that might be such another.
create or replace function deploy_gate.make_window(l deploy_gate.lease, crowded boolean) returns deploy_gate.lease
language plpgsql as $$
declare
	old deploy_gate.lease;
	is_new boolean := l.number is null;
begin
	l.session := deploy_gate.batch_session();
	if crowded then
		for old in select * from deploy_gate.leases_in_the_way(l.gates, 'window') loop
			l.session := old.session;
			perform deploy_gate.replace_window(old, l);
		end loop;
	end if;
	l.fence := nextval('deploy_gate.fence');
	l.number := coalesce(l.number, nextval('deploy_gate.ticket_number'));
	l.state := 'draining';
	if l.session = deploy_gate.batch_session() and deploy_gate.take_locks(l.gates) is null then
		l := deploy_gate.closed_now(l, true);
		l.answered := true;
		perform deploy_gate.record('closed', l, l.reason, l.holder);
	end if;
	if is_new then
		insert into deploy_gate.lease select l.*;
		perform deploy_gate.list_gates(l, 'window');
	else
		update deploy_gate.lease
		set state = l.state, fence = l.fence, session = l.session, locked = l.locked, blocked_at = l.blocked_at,
			external = l.external, closed_at = l.closed_at, max_at = l.max_at, expires_at = l.expires_at, answered = l.answered
		where id = l.id;
		update deploy_gate.lease_gate set role = 'window' where lease = l.id;
	end if;
	insert into deploy_gate.gate as g (name, fence) select n, l.fence from unnest(l.gates) n
	on conflict (name) do update set fence = excluded.fence;
	if l.state = 'closed' or l.session <> deploy_gate.batch_session() then
		perform deploy_gate.change(l.gates);
	else
		perform deploy_gate.touch(l.gates);
	end if;
	return l;
end $$;

create or replace function deploy_gate.list_gates(l deploy_gate.lease, as_role text) returns void
language plpgsql as $$
begin
	insert into deploy_gate.lease_gate (lease, gate, role, key, ancestor_keys)
	select l.id, g, as_role, deploy_gate.prefixed_key('deploy_gate:', g),
		array(select deploy_gate.prefixed_key('deploy_gate:', p) from unnest(deploy_gate.path(g)) p where p <> g)
	from unnest(l.gates) g;
end $$;

create or replace function deploy_gate.replace_window(old deploy_gate.lease, new deploy_gate.lease) returns void
language plpgsql as $$
begin
	if old.ended_at is null then
		perform deploy_gate.end_window(old, 'taken_over', new.holder, new.reason);
	else
		delete from deploy_gate.lease_gate where lease = old.id;
		update deploy_gate.lease set aftermath = null, opens_at = null where id = old.id;
		perform deploy_gate.record('taken_over', old, new.reason, new.holder), deploy_gate.leave_locks(old.gates);
	end if;
end $$;
