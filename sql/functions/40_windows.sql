-- The changes to windows. Each takes one JSON object and answers with an outcome word and what is to be told; none raises.
-- digest: SHA-256 of the lease's token in hex, whose first 32 digits are the lease's id.

-- digest gates holder reason release url job ttl_ms max_ms wait_ms drain_ms on_drain on_expiry grace_ms takeover known_only,
-- claim, the number of the request, and again where it asked before: ok (already had), queued, gone, token_used, held, or 'settling': settle tells how it came out.
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
			perform deploy_gate.touch(l.gates);
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
		perform deploy_gate.make_window(l, crowded);
		outcome := 'settling';
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
	select exists (select from deploy_gate.lease_gate lg where lg.gate = any (deploy_gate.paths(gates)))
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

-- Makes the ticket, or the lease that needed none, a window: draining until settle finds its locks had. One that takes the
-- place of another inherits the session that holds its locks, so that they never drop in between. crowded: whether any lease is
-- near that might be such another.
create or replace function deploy_gate.make_window(l deploy_gate.lease, crowded boolean) returns void
language plpgsql as $$
declare
	old deploy_gate.lease;
	owner bigint := deploy_gate.batch_session();
begin
	if crowded then
		for old in select * from deploy_gate.leases_in_the_way(l.gates, 'window') loop
			owner := old.session;
			perform deploy_gate.replace_window(old, l);
		end loop;
	end if;
	l.fence := nextval('deploy_gate.fence');
	if l.number is null then
		l.number := nextval('deploy_gate.ticket_number');
		l.state := 'draining';
		l.session := owner;
		insert into deploy_gate.lease select l.*;
		perform deploy_gate.list_gates(l, 'window');
	else
		update deploy_gate.lease set state = 'draining', fence = l.fence, session = owner where id = l.id;
		update deploy_gate.lease_gate set role = 'window' where lease = l.id;
	end if;
	insert into deploy_gate.gate as g (name, fence) select n, l.fence from unnest(l.gates) n
	on conflict (name) do update set fence = excluded.fence;
	if owner <> deploy_gate.batch_session() then
		perform deploy_gate.change(l.gates);
	else
		perform deploy_gate.touch(l.gates);
	end if;
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
		perform deploy_gate.record('taken_over', old, new.reason, new.holder), deploy_gate.touch(old.gates);
	end if;
end $$;

-- Ends a window, or a ticket, and returns it as it is then. An aftermath keeps its gates shut: 'grace' until opens, 'crashed' until somebody takes over.
create or replace function deploy_gate.end_window(l deploy_gate.lease, how text, who text, why text,
	leaves text default null, opens timestamptz default null) returns deploy_gate.lease
language plpgsql as $$
declare
	ended deploy_gate.lease;
begin
	update deploy_gate.lease
	set state = 'ended', ended_at = deploy_gate.batch_now(), ending = how, ended_by = who, end_reason = why,
		claim_session = null, claim_request = null, unclaimed_at = null, aftermath = leaves, opens_at = opens
	where id = l.id returning * into ended;
	perform deploy_gate.record(how, l, why, who);
	if leaves is null then
		perform deploy_gate.free_gates(l);
	else
		perform deploy_gate.change(l.gates);
	end if;
	return ended;
end $$;

-- The gates of a window open. Where jobs waited and deploys queue, they stay open for a gap.
create or replace function deploy_gate.free_gates(l deploy_gate.lease) returns void
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	gap boolean := l.jobs_waited and exists (select from deploy_gate.in_the_way(l.gates, 'ticket'));
begin
	delete from deploy_gate.lease_gate where lease = l.id;
	update deploy_gate.gate
	set freed_at = at, gap_until = case when gap then at + deploy_gate.ms(coalesce(gap_ms, 500)) end,
		typical_ms = case when l.closed_at is null then typical_ms
			else (3 * coalesce(typical_ms, deploy_gate.ms_between(l.closed_at, at)) + deploy_gate.ms_between(l.closed_at, at)) / 4 end
	where name = any (l.gates);
	perform deploy_gate.change(l.gates);
end $$;

-- digest gates outcome reason: ends the window of the token, whole, if gates name one of its own.
create or replace function deploy_gate.change_open(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	l deploy_gate.lease;
	failed boolean := coalesce(request ->> 'outcome', '') = 'failed';
begin
	select * into l from deploy_gate.lease where id = left(request ->> 'digest', 32);
	if l.id is null or l.digest <> request ->> 'digest' or l.kind <> 'window' or not (request -> 'gates') ?| l.gates then
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

-- gate reason by lease: ends the window, or the aftermath, that shuts the gate itself; with lease only if it is that one.
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
		outcome := case when body -> 'gate' ->> 'state' = 'open' then 'not_holder' else 'held' end;
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

-- Why a request about one lease, by id and digest, is refused; null where it may go on.
create or replace function deploy_gate.refusal(l deploy_gate.lease, request jsonb) returns text
language sql immutable as $$
	select case when l.id is null then 'not_found'
		when l.digest <> coalesce(request ->> 'digest', l.digest) then 'not_holder'
		when l.ended_at is not null then 'gone' end
$$;

create or replace function deploy_gate.gone_json(l deploy_gate.lease, outcome text) returns json
language sql stable as $$
	select case when outcome = 'gone' then json_build_object('lease', deploy_gate.lease_json(l, deploy_gate.batch_now())) end
$$;

-- id digest ttl_ms: a renewal that comes after expires_at but before the expiry was decided succeeds.
create or replace function deploy_gate.change_renew(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	l deploy_gate.lease;
begin
	select * into l from deploy_gate.lease where id = request ->> 'id';
	outcome := deploy_gate.refusal(l, request);
	body := deploy_gate.gone_json(l, outcome);
	if outcome is null then
		update deploy_gate.lease u
		set ttl_ms = least(coalesce((request ->> 'ttl_ms')::bigint, u.ttl_ms), u.max_ms),
			expires_at = case when u.expires_at is not null then
				least(at + deploy_gate.ms(coalesce((request ->> 'ttl_ms')::bigint, u.ttl_ms)), u.max_at) end
		where u.id = l.id returning * into l;
		perform deploy_gate.record('renewed', l, null, l.holder);
		outcome := 'ok';
		body := deploy_gate.lease_json(l, at);
	end if;
end $$;

-- id digest: ends it, whatever its kind.
create or replace function deploy_gate.change_release(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	l deploy_gate.lease;
begin
	select * into l from deploy_gate.lease where id = request ->> 'id';
	outcome := deploy_gate.refusal(l, request);
	body := deploy_gate.gone_json(l, outcome);
	if outcome is null then
		perform deploy_gate.end_window(l, 'released', l.holder, null);
	end if;
	if outcome is null or outcome = 'gone' and l.ending = 'released' then
		outcome := 'ok';
		body := deploy_gate.ended_json(l.id);
	end if;
end $$;

-- id digest (absent: as admin) reason url max_ms: changes what is said of a live lease, and how far renewals may go.
create or replace function deploy_gate.change_amend(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	l deploy_gate.lease;
begin
	select * into l from deploy_gate.lease where id = request ->> 'id';
	outcome := deploy_gate.refusal(l, request);
	body := deploy_gate.gone_json(l, outcome);
	if outcome is null then
		update deploy_gate.lease u
		set reason = coalesce(request ->> 'reason', u.reason), url = coalesce(request ->> 'url', u.url),
			max_ms = coalesce((request ->> 'max_ms')::bigint, u.max_ms),
			max_at = coalesce(u.closed_at + deploy_gate.ms((request ->> 'max_ms')::bigint), u.max_at),
			expires_at = least(u.expires_at, u.closed_at + deploy_gate.ms((request ->> 'max_ms')::bigint))
		where u.id = l.id returning * into l;
		perform deploy_gate.change(l.gates);
		outcome := 'ok';
		body := deploy_gate.lease_json(l, deploy_gate.batch_now());
	end if;
end $$;

-- claim: a hang-up or a timeout acts only on its own claim, and only clears it.
create or replace function deploy_gate.change_unclaim(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	l deploy_gate.lease;
begin
	update deploy_gate.lease u
	set claim_session = null, claim_request = null, unclaimed_at = deploy_gate.batch_now(), answered = false
	where u.id = request ->> 'id' and u.ended_at is null
		and (u.claim_session, u.claim_request) = (deploy_gate.batch_session(), (request ->> 'claim')::bigint)
	returning * into l;
	if l.state = 'queued' then
		perform deploy_gate.change(l.gates);
	end if;
	outcome := 'ok';
end $$;

-- lease: jobs wait behind this window, so that its end leaves them a gap.
create or replace function deploy_gate.change_jobs_wait(request jsonb, out outcome text, out body json)
language plpgsql as $$
begin
	update deploy_gate.lease set jobs_waited = true where id = request ->> 'lease' and not jobs_waited;
	outcome := 'ok';
end $$;
