-- How a close becomes a window, or stands in line.
-- Here and below each change takes one JSON object and answers with an outcome word and what is to be told; none raises.
-- digest: SHA-256 of the lease's token in hex, whose first 32 digits are the lease's id.

-- digest gates holder reason release url job ttl_ms max_ms wait_ms drain_ms on_drain on_expiry grace_ms takeover known_only,
-- claim, the number of the request, and again where it asked before: ok (already had), queued, gone, drain_timeout, token_used,
-- held, made, bad_request (ttl above max), too_many (this session has no room for its locks), or 'settling': settle tells how it came out.
create or replace function deploy_gate.change_close(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	gates text[] := deploy_gate.names_in(request -> 'gates');
	l deploy_gate.lease;
	blocker text;
	crowded boolean;
	gap interval;
begin
	l := (select x from deploy_gate.lease x where x.id = left(request ->> 'digest', 32));
	if l.id is not null then
		select c.outcome, c.body into outcome, body from deploy_gate.close_again(request, gates, l) c;
		if outcome is not null then
			return;
		end if;
	elsif request ->> 'known_only' = 'true' and not deploy_gate.all_known(gates) then
		outcome := 'not_found';
		return;
	elsif request ? 'ttl_ms' and not request ? 'max_ms' and (request ->> 'ttl_ms')::bigint > deploy_gate.max_of(gates) then
		outcome := 'bad_request';
		body := json_build_object('detail', format(
			'ttl: is above max, which is %s here unless you say max=…, and which renewals cannot pass',
			deploy_gate.duration(deploy_gate.max_of(gates))));
		return;
	end if;

	crowded := deploy_gate.is_crowded(gates, coalesce(l.id, ''));
	gap := deploy_gate.gap_left(gates);
	if crowded then
		blocker := deploy_gate.blocking_gate(gates, l.number, coalesce((request ->> 'takeover')::boolean, false));
	end if;
	if blocker is null and gap is null and not deploy_gate.fits_budget(gates) then
		outcome := 'too_many';
		body := deploy_gate.over_budget_json();
		if l.id is not null then
			perform deploy_gate.forget_ticket(l);
		end if;
	elsif blocker is null and gap is null then
		l := deploy_gate.make_window(request, gates, l, crowded);
		if l.state = 'closed' then
			outcome := 'made';
			body := deploy_gate.lease_json(l, at);
		else
			outcome := 'settling';
			perform deploy_gate.await_settling(l.id);
		end if;
	elsif blocker is not null
			and coalesce(l.wait_until, at + deploy_gate.ms(coalesce((request ->> 'wait_ms')::bigint, 0))) <= at then
		outcome := 'held';
		body := json_build_object('gate', deploy_gate.gate_json(blocker, at));
		if l.id is not null then
			perform deploy_gate.forget_ticket(l);
		end if;
	else
		if l.id is null then
			perform deploy_gate.make_ticket(request, gates);
		end if;
		outcome := 'queued';
		body := json_build_object('ask_again_ms', coalesce(ceil(extract(epoch from gap) * 1000), 500));
	end if;
end $$;

-- The max that applies where none is asked for.
create or replace function deploy_gate.max_of(gates text[]) returns bigint
language plpgsql stable as $$
begin
	return coalesce((select g.max_ms from deploy_gate.gate g where g.name = gates[1]), 14400000);
end $$;

-- The close of a token that made a lease before; no outcome where that still stands in line.
create or replace function deploy_gate.close_again(request jsonb, gates text[], l deploy_gate.lease, out outcome text, out body json)
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
begin
	if l.digest <> request ->> 'digest' or l.kind <> 'window' or not (l.gates @> gates and l.gates <@ gates) then
		outcome := 'token_used';
		body := json_build_object('lease', deploy_gate.lease_json(l, at));
		return;
	elsif l.ending = 'drain_timeout' and request ? 'again' then
		-- Not this batch ended it, but still it is how this very request comes out.
		outcome := 'drain_timeout';
		body := deploy_gate.stayed_json(l.gates, at);
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
	elsif l.state = 'draining' then
		outcome := 'settling';
		perform deploy_gate.touch(l.gates), deploy_gate.await_settling(l.id);
	end if;
end $$;

create or replace function deploy_gate.all_known(gates text[]) returns boolean
language plpgsql stable as $$
begin
	return not exists (
		select from unnest(gates) n where not exists (select from deploy_gate.gate g where g.name = n));
end $$;

-- From now on this request answers for the lease, unless it merely asks again and another came later; and a window that is
-- closed is answered by it. Where another was answered already, neither is to answer for it: a hang-up of the one must not take
-- back what the other was told.
create or replace function deploy_gate.claim(l deploy_gate.lease, request bigint, again boolean) returns void
language plpgsql as $$
begin
	update deploy_gate.lease
	set claim_session = case when not answered then deploy_gate.batch_session() end,
		claim_request = case when not answered then request end, unclaimed_at = null,
		answered = answered or state = 'closed'
	where id = l.id and case when (claim_session, claim_request) is not distinct from (deploy_gate.batch_session(), request)
		then state = 'closed' and not answered else not (again and claim_session is not null) end;
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

-- The gate that keeps these from being closed: that of a window, or of a ticket older than number (null: than none yet); null
-- for none.
create or replace function deploy_gate.blocking_gate(gates text[], number bigint, takeover boolean) returns text
language plpgsql as $$
declare
	other deploy_gate.lease;
begin
	for other in select * from deploy_gate.leases_in_the_way(gates, 'window') loop
		if not deploy_gate.replaceable(other, gates, takeover) then
			return other.gates[1];
		end if;
	end loop;
	if takeover then
		return null;
	end if;
	for other in select * from deploy_gate.leases_in_the_way(gates, 'ticket') loop
		if other.number < coalesce(blocking_gate.number, other.number + 1) and deploy_gate.counts(other) then
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

-- Whether any lease but that one is near these gates at all: mostly there is none.
create or replace function deploy_gate.is_crowded(gates text[], but text) returns boolean
language plpgsql stable as $$
declare
	n text;
begin
	foreach n in array gates loop
		if exists (select from deploy_gate.lease_gate lg where deploy_gate.is_within(lg.gate, n) and lg.lease <> but) then
			return true;
		elsif strpos(n, '.') > 0 and exists (
				select from deploy_gate.lease_gate lg where lg.gate = any (deploy_gate.path(n)) and lg.lease <> but) then
			return true;
		end if;
	end loop;
	return false;
end $$;

-- How long nothing may close these gates yet, so that jobs that waited get in between two windows; null for not at all.
create or replace function deploy_gate.gap_left(gates text[]) returns interval
language plpgsql stable as $$
declare
	at timestamptz := deploy_gate.batch_now();
	until timestamptz;
	gap_until timestamptz;
	n text;
begin
	foreach n in array gates loop
		select max(g.gap_until) into until from deploy_gate.gate g where deploy_gate.is_within(g.name, n);
		gap_until := greatest(gap_until, until);
		if strpos(n, '.') > 0 then
			select max(g.gap_until) into until from deploy_gate.gate g where g.name = any (deploy_gate.path(n));
			gap_until := greatest(gap_until, until);
		end if;
	end loop;
	return case when gap_until > at then gap_until - at end;
end $$;

-- Makes the request, or the ticket it made before, a window, and returns it: closed where its locks are had at once, else
-- draining until settle has them. One that takes the place of another inherits the session that holds its locks, so that they
-- never drop in between. crowded: whether any lease is near that might be such another.
create or replace function deploy_gate.make_window(request jsonb, gates text[], ticket deploy_gate.lease, crowded boolean)
returns deploy_gate.lease
language plpgsql as $$
declare
	me bigint := deploy_gate.batch_session();
	owner bigint := me;
	state text := 'draining';
	crashed text[];
	w deploy_gate.lease;
begin
	if crowded then
		select coalesce(r.owner, me), r.crashed into owner, crashed from deploy_gate.replace_windows(request, gates) r;
	end if;
	if owner = me and not (crowded and deploy_gate.passes_inside(gates)) and deploy_gate.take_locks(gates, 'x') is null then
		state := 'closed';
	end if;
	if ticket.id is null then
		w := deploy_gate.store_window(request, gates, state, owner);
	else
		w := deploy_gate.promote_ticket(ticket, state, owner);
	end if;
	insert into deploy_gate.gate (name) select g from unnest(gates) g on conflict (name) do nothing;
	if crashed <> '{}' then
		update deploy_gate.lease set replaced = crashed where id = w.id;
	end if;
	if state = 'closed' then
		perform deploy_gate.record('closed', w, w.reason, w.holder);
	elsif owner = me then
		perform deploy_gate.touch(gates);
	end if;
	-- Where nobody is near, nobody waits to hear that a gate has shut, unless the same was asked for elsewhere before.
	if (crowded or ticket.id is not null) and (state = 'closed' or owner <> me) then
		perform deploy_gate.change(gates);
	end if;
	return w;
end $$;

create or replace function deploy_gate.make_ticket(request jsonb, gates text[]) returns void
language plpgsql as $$
declare
	t deploy_gate.lease := deploy_gate.store_window(request, gates, 'queued', null);
begin
	perform deploy_gate.record('queued', t, t.reason, t.holder), deploy_gate.change(gates);
end $$;

-- Stores a new lease with its gates: queued, draining or closed. What was not asked for comes from the settings of the first
-- gate, then from the defaults.
create or replace function deploy_gate.store_window(request jsonb, gates text[], as_state text, owner bigint)
returns deploy_gate.lease
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	since timestamptz := case as_state when 'closed' then at end;
	asked deploy_gate.lease := jsonb_populate_record(null::deploy_gate.lease, request);
	settings deploy_gate.gate := (select g from deploy_gate.gate g where g.name = gates[1]);
	max_ms bigint := coalesce(asked.max_ms, settings.max_ms, 14400000);
	ttl_ms bigint := least(coalesce(asked.ttl_ms, settings.ttl_ms, 1800000), max_ms);
	stored record;
begin
	insert into deploy_gate.lease as l (id, digest, kind, state, gates, holder, reason, release, url, job, number, fence, ttl_ms,
		max_ms, drain_ms, on_drain, on_expiry, grace_ms, created_at, wait_until, session, locked, answered, claim_session,
		claim_request, closed_at, expires_at, max_at)
	values (left(asked.digest, 32), asked.digest, 'window', as_state, gates, asked.holder, asked.reason, asked.release, asked.url,
		asked.job, nextval('deploy_gate.ticket_number'), case when as_state <> 'queued' then nextval('deploy_gate.fence') end,
		ttl_ms, max_ms, coalesce(asked.drain_ms, settings.drain_ms, 600000), coalesce(asked.on_drain, settings.on_drain, 'abort'),
		coalesce(asked.on_expiry, settings.on_expiry, 'open'), coalesce(asked.grace_ms, settings.grace_ms, 0), at,
		at + deploy_gate.ms(coalesce((request ->> 'wait_ms')::bigint, 0)), owner, since is not null, since is not null,
		deploy_gate.batch_session(), (request ->> 'claim')::bigint, since, since + deploy_gate.ms(ttl_ms),
		since + deploy_gate.ms(max_ms))
	returning l into stored;
	perform deploy_gate.list_gates(stored.l, case as_state when 'queued' then 'ticket' else 'window' end);
	return stored.l;
end $$;

create or replace function deploy_gate.list_gates(l deploy_gate.lease, as_role text) returns void
language plpgsql as $$
declare
	gate text;
begin
	foreach gate in array l.gates loop
		insert into deploy_gate.lease_gate (lease, gate, role, key, ancestor_keys)
		values (l.id, gate, as_role, deploy_gate.prefixed_key('deploy_gate:', gate), deploy_gate.ancestor_keys(gate));
	end loop;
end $$;

create or replace function deploy_gate.promote_ticket(ticket deploy_gate.lease, to_state text, owner bigint)
returns deploy_gate.lease
language plpgsql as $$
declare
	since timestamptz := case to_state when 'closed' then deploy_gate.batch_now() end;
	promoted record;
begin
	update deploy_gate.lease_gate set role = 'window' where lease = ticket.id;
	update deploy_gate.lease u
	set state = to_state, fence = nextval('deploy_gate.fence'), session = owner, locked = to_state = 'closed',
		answered = to_state = 'closed', blocked_at = case when since is null then u.blocked_at end,
		external = case when since is null then u.external end, closed_at = since,
		expires_at = since + deploy_gate.ms(u.ttl_ms), max_at = since + deploy_gate.ms(u.max_ms)
	where u.id = ticket.id returning u into promoted;
	return promoted.u;
end $$;

create or replace function deploy_gate.ancestor_keys(gate text) returns bigint[]
language plpgsql immutable as $$
begin
	if strpos(gate, '.') = 0 then
		return '{}';
	end if;
	return array(select deploy_gate.prefixed_key('deploy_gate:', p) from unnest(deploy_gate.path(gate)) p where p <> gate);
end $$;

-- The windows in the way of these gates give their place to the request. owner: the session that holds the locks of the last,
-- null where there was none; crashed: those that had crashed, and that are crashed again should this never close.
create or replace function deploy_gate.replace_windows(request jsonb, gates text[], out owner bigint, out crashed text[])
language plpgsql as $$
declare
	old deploy_gate.lease;
begin
	for old in select * from deploy_gate.leases_in_the_way(gates, 'window') loop
		owner := old.session;
		crashed := crashed || case when old.aftermath = 'crashed' then array[old.id] when old.closed_at is null then old.replaced end;
		perform deploy_gate.replace_window(old, request ->> 'holder', request ->> 'reason');
	end loop;
end $$;

create or replace function deploy_gate.replace_window(old deploy_gate.lease, who text, why text) returns void
language plpgsql as $$
begin
	if old.ended_at is null then
		perform deploy_gate.end_window(old, 'taken_over', who, why);
	else
		delete from deploy_gate.lease_gate where lease = old.id;
		update deploy_gate.lease set aftermath = null, opens_at = null where id = old.id;
		perform deploy_gate.record('taken_over', old, why, who), deploy_gate.leave_locks(old.gates);
	end if;
end $$;
