-- Passes: how a job gets in and out, and what a window does about those inside.
-- Of the roles that a pass plays at its gates only 'pass' wants locks and is waited for.

-- digest gates holder reason url job ttl_ms, claim, the number of the request, inside (digest of the token that it acts under),
-- known_only; keep_out: why the token gets no new pass, but only the one that it has already; facts: whether a refusal is to show
-- the gate: made, ok (had it already), closed, full (full_at: the gate whose limit is reached), not_found, gone, token_used, or
-- pending: somebody may be in the way of a lock, look again.
create or replace function deploy_gate.change_pass(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	gates text[] := array(select jsonb_array_elements_text(request -> 'gates'));
	l deploy_gate.lease;
	way record;
begin
	select * into l from deploy_gate.lease where id = left(request ->> 'digest', 32);
	if l.id is not null then
		select p.outcome, p.body into outcome, body from deploy_gate.pass_again(request, gates, l) p;
		return;
	elsif request ->> 'known_only' = 'true' and not deploy_gate.all_known(gates) then
		outcome := 'not_found';
		return;
	end if;
	select * into way from deploy_gate.way_in(gates, request ->> 'inside');
	if way.refusal is null and request ->> 'keep_out' is not null then
		way.refusal := request ->> 'keep_out';
	elsif way.refusal is null and not deploy_gate.fits_budget(gates) then
		outcome := 'too_many';
		body := deploy_gate.over_budget_json();
		return;
	elsif way.refusal is null then
		l := deploy_gate.make_pass(request, gates, way.inside, way.fence);
		outcome := case when l.id is null then 'pending' else 'made' end;
		body := case when l.id is not null then deploy_gate.lease_json(l, deploy_gate.batch_now()) end;
		return;
	end if;
	outcome := way.refusal;
	if request ->> 'facts' = 'true' then
		body := json_build_object('gate', deploy_gate.refused_gate_json(coalesce(way.gate, gates[1]), way.inside, way.refusal));
	elsif way.gate is not null and way.refusal = 'full' then
		body := json_build_object('full_at', deploy_gate.full_gate(way.gate));
	end if;
end $$;

-- The gate of a refused pass. The window under whose token it was asked for shuts the gate to others, and is not what keeps this
-- one out.
create or replace function deploy_gate.refused_gate_json(name text, inside text, refusal text) returns json
language plpgsql as $$
declare
	gate json := deploy_gate.gate_json(name, deploy_gate.batch_now());
begin
	return case when inside is null or refusal <> 'full' then gate
		else (gate::jsonb || jsonb_build_object('state', 'full', 'closed_by', coalesce(deploy_gate.full_gate(name), name)))::json end;
end $$;

-- The pass of a token that has one already. From now on this request answers for it; where another was answered already,
-- neither is to: a hang-up of the one must not take back what the other was told.
create or replace function deploy_gate.pass_again(request jsonb, gates text[], l deploy_gate.lease, out outcome text, out body json)
language plpgsql as $$
declare
	mine boolean := (l.claim_session, l.claim_request) is not distinct from
		(deploy_gate.batch_session(), (request ->> 'claim')::bigint);
begin
	if l.digest <> request ->> 'digest' or l.kind <> 'pass' or not (l.gates @> gates and l.gates <@ gates) then
		outcome := 'token_used';
	elsif l.state = 'ended' then
		outcome := 'gone';
	else
		update deploy_gate.lease
		set answered = true, unclaimed_at = null,
			claim_session = case when not l.answered then deploy_gate.batch_session() end,
			claim_request = case when not l.answered then (request ->> 'claim')::bigint end
		where id = l.id and not mine;
		outcome := case when l.answered and not mine then 'ok' else 'made' end;
		body := deploy_gate.lease_json(l, deploy_gate.batch_now());
		return;
	end if;
	body := json_build_object('lease', deploy_gate.lease_json(l, deploy_gate.batch_now()));
end $$;

-- Whether a pass can be had: refusal 'closed' or 'full' and the gate, of those asked for, where; or null, the window under whose
-- token it goes in, and the fence of the last window over the gates.
create or replace function deploy_gate.way_in(gates text[], token text,
	out refusal text, out gate text, out inside text, out fence bigint)
language plpgsql stable as $$
declare
	path text[] := deploy_gate.paths(gates);
	shut text[];
	limited boolean;
begin
	if token is not null then
		select l.id, l.fence into inside, fence from deploy_gate.lease l
		where l.id = left(token, 32) and l.digest = token and l.state in ('draining', 'closed') and l.gates && path;
	end if;
	shut := array(
		select lg.gate from deploy_gate.lease_gate lg
		where lg.gate = any (path) and lg.role = 'window' and lg.lease is distinct from inside);
	if shut <> '{}' then
		refusal := 'closed';
		gate := (select g from unnest(gates) with ordinality n (g, place) where deploy_gate.path(g) && shut order by place limit 1);
		return;
	end if;
	select coalesce(way_in.fence, max(k.fence)), bool_or(k.pass_limit is not null) into fence, limited
	from deploy_gate.gate k where k.name = any (path);
	if limited then
		gate := (
			select g from unnest(gates) with ordinality n (g, place)
			where deploy_gate.full_gate(g) is not null order by place limit 1);
		refusal := case when gate is not null then 'full' end;
	end if;
end $$;

-- How many passes count against the limit of a gate: those at it and below it.
create or replace function deploy_gate.passes_within(name text) returns bigint
language plpgsql stable as $$
begin
	return (
		select count(distinct lg.lease) from deploy_gate.lease_gate lg
		where lg.role in ('pass', 'inside') and (lg.gate = $1 or lg.gate > $1 || '.' and lg.gate < $1 || '/'));
end $$;

-- The gate, or the nearest above it, that has as many passes as it may have; null for none.
create or replace function deploy_gate.full_gate(name text) returns text
language plpgsql stable as $$
begin
	return (
		select k.name from deploy_gate.gate k
		where k.name = any (deploy_gate.path($1)) and k.pass_limit <= deploy_gate.passes_within(k.name)
		order by k.name desc limit 1);
end $$;

-- Makes the pass and returns it; one without an id where somebody outside may hold a lock that it wants. Where only sessions of
-- ours are in the way, it is made all the same, for its rows guard it, and settled later.
create or replace function deploy_gate.make_pass(request jsonb, gates text[], inside text, fence bigint) returns deploy_gate.lease
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	me bigint := deploy_gate.batch_session();
	asked deploy_gate.lease := jsonb_populate_record(null::deploy_gate.lease, request);
	ttl_ms bigint := coalesce(asked.ttl_ms, 600000);
	covered text[] := '{}';
	blocked bigint[];
	stored record;
begin
	if inside is not null then
		covered := array(
			select g from unnest(gates) g, deploy_gate.lease w where w.id = make_pass.inside and deploy_gate.path(g) && w.gates);
	end if;
	blocked := deploy_gate.take_locks(array(select g from unnest(gates) g where g <> all (covered)), 's');
	if blocked is not null and deploy_gate.outsiders(blocked, 'ShareLock') is not null then
		perform deploy_gate.leave_locks(gates);
		return null;
	end if;
	insert into deploy_gate.lease as l (id, digest, kind, state, gates, holder, reason, url, job, number, fence, ttl_ms, created_at,
		expires_at, session, locked, answered, claim_session, claim_request, inside)
	values (left(asked.digest, 32), asked.digest, 'pass', 'inside', gates, asked.holder, asked.reason, asked.url, asked.job,
		null, make_pass.fence, ttl_ms, at, at + deploy_gate.ms(ttl_ms), me, blocked is null, true, me, (request ->> 'claim')::bigint,
		make_pass.inside)
	returning l into stored;
	perform deploy_gate.list_gates(stored.l, 'pass'), deploy_gate.record('passed', stored.l, asked.reason, asked.holder);
	if inside is not null then
		update deploy_gate.lease_gate lg set role = 'inside' where lg.lease = left(asked.digest, 32) and lg.gate = any (covered);
		update deploy_gate.lease w set let_in = true where w.id = make_pass.inside and not w.let_in;
	end if;
	return stored.l;
end $$;

-- Ends a lease of whatever kind, and returns it as it is then.
create or replace function deploy_gate.end_lease(l deploy_gate.lease, how text, who text, why text) returns deploy_gate.lease
language plpgsql as $$
begin
	return case when l.kind = 'pass' then deploy_gate.end_pass(l, how, who, why) else deploy_gate.end_window(l, how, who, why) end;
end $$;

create or replace function deploy_gate.end_pass(l deploy_gate.lease, how text, who text, why text) returns deploy_gate.lease
language plpgsql as $$
declare
	path text[] := deploy_gate.paths(l.gates);
	ended deploy_gate.lease;
	counted boolean;
	awaited boolean;
begin
	update deploy_gate.lease
	set state = 'ended', ended_at = deploy_gate.batch_now(), ending = how, ended_by = who, end_reason = why,
		claim_session = null, claim_request = null, unclaimed_at = null
	where id = l.id returning * into ended;
	with gone as (delete from deploy_gate.lease_gate where lease = l.id returning role)
	select bool_or(role <> 'overrun') into counted from gone;
	perform deploy_gate.record(how, l, why, who);
	if l.session = deploy_gate.batch_session() then
		perform deploy_gate.leave_locks(l.gates);
	end if;
	select exists (select from deploy_gate.lease_gate lg where lg.gate = any (path) and lg.role = 'window')
		or exists (select from deploy_gate.gate k where k.name = any (path) and k.pass_limit is not null) into awaited;
	if awaited and counted then
		perform deploy_gate.pass_left(path);
	end if;
	return ended;
end $$;

-- A pass has left these gates. The window that waited for the last one goes on; where there is room again, those who wait for it
-- are told: before, nobody was to wait.
create or replace function deploy_gate.pass_left(path text[]) returns void
language plpgsql as $$
declare
	w deploy_gate.lease;
begin
	for w in
		select l.* from deploy_gate.lease l
		where l.state = 'draining' and l.id = any (array(
			select lg.lease from deploy_gate.lease_gate lg where lg.gate = any (path) and lg.role = 'window'))
	loop
		if not deploy_gate.passes_inside(w.gates) then
			perform deploy_gate.touch(w.gates), deploy_gate.change(w.gates);
		end if;
	end loop;
	perform deploy_gate.change(array(
		select k.name from deploy_gate.gate k
		where k.name = any (path) and deploy_gate.passes_within(k.name) + 1 >= k.pass_limit));
end $$;

-- Whether a window over these gates has to wait for somebody inside.
create or replace function deploy_gate.passes_inside(gates text[]) returns boolean
language plpgsql stable as $$
begin
	return exists (select from deploy_gate.leases_below(gates, 'pass'));
end $$;

-- Leases of that role at these gates and below them, some of them perhaps twice.
create or replace function deploy_gate.leases_below(gates text[], as_role text) returns setof text
language sql stable as $$
	select lg.lease from unnest(gates) g join deploy_gate.lease_gate lg on lg.gate = g and lg.role = as_role
	union all
	select lg.lease from unnest(gates) g join deploy_gate.lease_gate lg
		on lg.gate > g || '.' and lg.gate < g || '/' and lg.role = as_role
$$;

-- A draining window with passes inside, which is one of this session. Returns whether it has to go on waiting: not so where they
-- stop counting now.
create or replace function deploy_gate.drain_inside(w deploy_gate.lease) returns boolean
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
begin
	if w.drain_until is null then
		w.drain_until := at + deploy_gate.ms(w.drain_ms);
		update deploy_gate.lease set drain_until = w.drain_until where id = w.id;
		perform deploy_gate.record('draining', w, w.reason, w.holder), deploy_gate.change(w.gates);
	end if;
	if at < w.drain_until then
		return true;
	elsif w.on_drain = 'abort' then
		perform deploy_gate.end_window(w, 'drain_timeout', null, 'jobs inside did not leave within drain');
		return true;
	elsif w.on_drain = 'stop' and w.stop_at is null then
		update deploy_gate.lease set stop_at = at where id = any (array(select deploy_gate.leases_below(w.gates, 'pass')));
		update deploy_gate.lease set stop_at = at, drain_until = at + interval '10 s' where id = w.id;
		perform deploy_gate.change(w.gates);
		return true;
	end if;
	perform deploy_gate.overrun(w);
	return deploy_gate.passes_inside(w.gates);
end $$;

-- The passes inside stop counting, for this window and any other, and want no lock any more: many of them a piece at a time. All
-- who hold a lock for them are told.
create or replace function deploy_gate.overrun(w deploy_gate.lease) returns void
language plpgsql as $$
declare
	pass deploy_gate.lease;
begin
	for pass in
		update deploy_gate.lease set overrun = true, locked = true, contested = false, blocked_at = null, external = null
		where id = any (array(select deploy_gate.leases_below(w.gates, 'pass') limit 500)) returning *
	loop
		perform deploy_gate.record('overrun', pass, w.reason, w.holder), deploy_gate.leave_locks(pass.gates),
			deploy_gate.change(pass.gates);
		update deploy_gate.lease_gate set role = 'overrun' where lease = pass.id;
	end loop;
	perform deploy_gate.change(w.gates);
end $$;

-- The window is over, or back in the queue: the passes under its token are passes like any others, and want their locks.
create or replace function deploy_gate.make_ordinary(w deploy_gate.lease) returns void
language plpgsql as $$
declare
	pass deploy_gate.lease;
begin
	for pass in
		update deploy_gate.lease set inside = null, locked = false
		where inside = w.id and id = any (array(select deploy_gate.leases_below(w.gates, 'inside'))) returning *
	loop
		update deploy_gate.lease_gate set role = 'pass' where lease = pass.id and role = 'inside';
		perform deploy_gate.touch(pass.gates);
		if pass.session <> deploy_gate.batch_session() then
			perform deploy_gate.change(pass.gates);
		end if;
	end loop;
end $$;

-- The passes of this session that lack a lock: of all, or of those at the gates touched.
create or replace function deploy_gate.settle_passes(touched text[], everything boolean) returns void
language plpgsql as $$
declare
	pass deploy_gate.lease;
begin
	for pass in
		select l.*
		from deploy_gate.lease l
		where l.id = any (array(
				select lg.lease from deploy_gate.lease_gate lg
				where lg.role = 'pass' and (everything or lg.gate = any (touched))))
			and l.session = deploy_gate.batch_session() and not l.locked
		order by l.created_at limit 500
	loop
		perform deploy_gate.settle_lease(pass, deploy_gate.take_locks(array(
			select lg.gate from deploy_gate.lease_gate lg where lg.lease = pass.id and lg.role = 'pass'), 's'), 'ShareLock');
	end loop;
end $$;
