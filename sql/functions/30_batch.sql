-- The frame of a batch: begin, the changes (in files of their own), settle, and afterwards the drop of locks and the
-- announcement. What one call leaves for the next in the same transaction (the clock, the session, the gates touched) is kept
-- in transaction-local settings, so that a change without a begin before it fails.

-- Locks the one service row, so that of all replicas only one batch is decided at a time; checks that this session is still
-- whom it claims to be; reads the clock once for the whole batch, and stamps it where due. held_up_ms: for how long begin has
-- failed before, because somebody else had the row.
create or replace function deploy_gate.begin(me bigint, held_up_ms bigint default 0) returns void
language plpgsql as $$
declare
	asked_at timestamptz := clock_timestamp();
	last deploy_gate.service;
	self deploy_gate.session;
	at timestamptz;
	gap interval;
begin
	select * into last from deploy_gate.service for no key update;
	at := clock_timestamp();
	select * into self from deploy_gate.session where number = me;
	if self.ended_at is not null or self.pid is distinct from pg_backend_pid() then
		raise exception 'deploy-gate: session % was superseded or declared dead', me using errcode = 'DG001';
	end if;
	gap := at - last.stamped_at;
	if gap > interval '5 s' or gap < interval '-1 s' then
		perform deploy_gate.shift_clocks(gap);
		update deploy_gate.service set stamped_at = at, serving_since = at;
	elsif gap > interval '500 ms' or gap < interval '0' then
		update deploy_gate.service set stamped_at = at;
	end if;
	if at - self.stamped_at not between interval '0' and interval '500 ms' then
		update deploy_gate.session set stamped_at = at where number = me;
	end if;
	perform set_config('deploy_gate.now', at::text, true), set_config('deploy_gate.session', me::text, true),
		set_config('deploy_gate.waited_ms', (held_up_ms + deploy_gate.ms_between(asked_at, at))::text, true),
		set_config('deploy_gate.touched', '', true), set_config('deploy_gate.changed', '', true);
end $$;

-- Nobody could renew while the service was away, and the clock may have been stepped back: what is due moves with it.
create or replace function deploy_gate.shift_clocks(gap interval) returns void
language sql as $$
	update deploy_gate.lease set expires_at = expires_at + gap, max_at = max_at + gap, drain_until = drain_until + gap,
		wait_until = wait_until + gap, unclaimed_at = unclaimed_at + gap, opens_at = opens_at + gap,
		blocked_at = null
	where ended_at is null or opens_at is not null;
	update deploy_gate.gate set gap_until = gap_until + gap, freed_at = freed_at + gap
	where gap_until is not null or freed_at is not null;
	update deploy_gate.session set stamped_at = stamped_at + gap where ended_at is null;
$$;

create or replace function deploy_gate.batch_now() returns timestamptz
language sql stable as $$ select current_setting('deploy_gate.now')::timestamptz $$;

create or replace function deploy_gate.batch_session() returns bigint
language sql stable as $$ select current_setting('deploy_gate.session')::bigint $$;

create or replace function deploy_gate.was_held_up() returns boolean
language sql stable as $$ select current_setting('deploy_gate.waited_ms')::bigint > 1000 $$;

-- Gates whose locks settle has to look at.
create or replace function deploy_gate.touch(gates text[]) returns void
language plpgsql as $$
begin
	perform set_config('deploy_gate.touched', current_setting('deploy_gate.touched') || array_to_string(gates, ',') || ',', true);
end $$;

create or replace function deploy_gate.touched() returns text[]
language plpgsql stable as $$
begin
	return (select array(select distinct g from unnest(string_to_array(current_setting('deploy_gate.touched'), ',')) g where g <> ''));
end $$;

-- Gates that are to be announced, because they came out different for somebody; they are touched as well.
create or replace function deploy_gate.change(gates text[]) returns void
language plpgsql as $$
begin
	perform deploy_gate.touch(gates),
		set_config('deploy_gate.changed', current_setting('deploy_gate.changed') || array_to_string(gates, ',') || ',', true);
end $$;

create or replace function deploy_gate.changed() returns text[]
language plpgsql stable as $$
begin
	return (select array(select distinct g from unnest(string_to_array(current_setting('deploy_gate.changed'), ',')) g where g <> ''));
end $$;

create or replace function deploy_gate.record(kind text, l deploy_gate.lease, reason text, by text) returns void
language plpgsql as $$
begin
	insert into deploy_gate.event (at, kind, gate, lease, holder, reason, by)
	select deploy_gate.batch_now(), $1, g, l.id, l.holder, $3, $4 from unnest(l.gates) g;
end $$;

-- Makes the locks of this session match the rows: takes by try what its windows lack, names what nobody wants any more.
-- held_x, held_s: the account of what the session holds. everything: not only for the gates of this batch. closes: the leases
-- whose close was asked in this batch. Answers rows: 'took' and 'drop' with key and mode; 'close' with lease, outcome and
-- body; 'changed' with a gate in lease; 'next' with the milliseconds until the next tick is due in key.
create or replace function deploy_gate.settle(held_x bigint[], held_s bigint[], everything boolean, closes text[])
returns table (what text, lease text, outcome text, key bigint, mode text, body json)
language plpgsql as $$
declare
	touched text[] := deploy_gate.touched();
	took_x bigint[] := '{}';
	took_s bigint[] := '{}';
	w deploy_gate.lease;
	took record;
begin
	if everything or touched <> '{}' then
		for w in select * from deploy_gate.unlocked_windows(touched, everything) loop
			select * into took from deploy_gate.take_locks(w, held_x || took_x, held_s || took_s);
			took_x := took_x || took.x;
			took_s := took_s || took.s;
			perform deploy_gate.settle_window(w, took.blocked, closes);
		end loop;
	end if;
	-- In this order: how a close comes out may free what it had. Of several closes of one lease the first is told that it made it.
	return query
		select 'close', c.id, case when r.outcome = 'made' and c.place > min(c.place) over (partition by c.id) then 'ok'
			else r.outcome end, null::bigint, null, r.body
		from unnest(closes) with ordinality c (id, place), deploy_gate.close_outcome(c.id) r
		union all select 'took', null, null, k, 'x', null from unnest(took_x) k
		union all select 'took', null, null, k, 's', null from unnest(took_s) k
		union all select 'drop', null, null, u.key, u.mode, null
		from deploy_gate.unwanted(held_x || took_x, held_s || took_s, everything) u
		union all select 'changed', g, null, null, null, null from unnest(deploy_gate.changed()) g
		union all select 'next', null, null, deploy_gate.next_due_ms(), null, null;
end $$;

-- The windows of this session that lack a lock, in the order of their grants.
create or replace function deploy_gate.unlocked_windows(touched text[], everything boolean) returns setof deploy_gate.lease
language plpgsql as $$
begin
	return query select l.* from deploy_gate.lease l
		where l.session = deploy_gate.batch_session() and not l.locked
			and l.id in (
				select lg.lease from deploy_gate.lease_gate lg
				where lg.role = 'window' and (everything or lg.gate = any (touched)))
		order by l.fence;
end $$;

-- Tries what the window lacks: its gates exclusively, their ancestors shared. blocked: the keys that were not had.
create or replace function deploy_gate.take_locks(w deploy_gate.lease, held_x bigint[], held_s bigint[],
	out x bigint[], out s bigint[], out blocked bigint[])
language plpgsql volatile as $$
declare
	wanted record;
	k bigint;
begin
	x := '{}';
	s := '{}';
	for wanted in select lg.key, lg.ancestor_keys from deploy_gate.lease_gate lg where lg.lease = w.id loop
		foreach k in array wanted.ancestor_keys loop
			if k = any (held_s || s) then
				continue;
			elsif pg_try_advisory_lock_shared(k) then
				s := s || k;
			else
				blocked := blocked || k;
			end if;
		end loop;
		if wanted.key = any (held_x) then
			continue;
		elsif pg_try_advisory_lock(wanted.key) then
			x := x || wanted.key;
		else
			blocked := blocked || wanted.key;
		end if;
	end loop;
end $$;

-- What of the account no lease of this session wants any more: of all it holds, or of the gates touched and their ancestors.
create or replace function deploy_gate.unwanted(held_x bigint[], held_s bigint[], everything boolean)
returns table (key bigint, mode text)
language plpgsql as $$
declare
	me bigint := deploy_gate.batch_session();
begin
	if held_x = '{}' and held_s = '{}' then
		return;
	elsif everything then
		return query
			(select k, 'x' from unnest(held_x) k
			except select lg.key, 'x' from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease
				where lg.role = 'window' and l.session = me)
			union all
			(select k, 's' from unnest(held_s) k
			except select k, 's' from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease, unnest(lg.ancestor_keys) k
				where lg.role = 'window' and l.session = me);
	else
		return query
			with near as materialized (
				select distinct p as name, deploy_gate.prefixed_key('deploy_gate:', p) as k
				from unnest(deploy_gate.paths(deploy_gate.touched())) p
			)
			select n.k, 'x' from near n
			where n.k = any (held_x) and not exists (
				select from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease
				where lg.gate = n.name and lg.role = 'window' and l.session = me)
			union all
			select n.k, 's' from near n
			where n.k = any (held_s) and not exists (
				select from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease
				where lg.gate > n.name || '.' and lg.gate < n.name || '/' and lg.role = 'window' and l.session = me);
	end if;
end $$;

-- How the take came out for one window. blocked: keys that were not had, or null for none.
create or replace function deploy_gate.settle_window(w deploy_gate.lease, blocked bigint[], closes text[]) returns void
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	outsiders json;
	seen_twice boolean := w.blocked_at < at - interval '20 ms';
begin
	if blocked is null then
		perform deploy_gate.guarded(w, closes);
		return;
	end if;
	outsiders := deploy_gate.outsiders(blocked, 'ExclusiveLock');
	if outsiders is null then
		-- A probe, or a lock of ours that is just being dropped: it will go.
		return;
	end if;
	if w.blocked_at is null then
		update deploy_gate.lease set blocked_at = at, external = outsiders where id = w.id;
	elsif not seen_twice then
		null;
	elsif w.state <> 'draining' then
		if not w.contested then
			perform deploy_gate.record('contested', w, 'somebody outside the service holds the lock', null),
				deploy_gate.change(w.gates);
		end if;
		update deploy_gate.lease set contested = true, external = outsiders where id = w.id and not contested;
	elsif exists (select from json_array_elements(outsiders) o where o ->> 'mode' = 'ExclusiveLock') then
		perform deploy_gate.back_to_queue(w, outsiders);
	else
		perform deploy_gate.drain_outsiders(w, outsiders, closes);
	end if;
end $$;

-- All locks are had: a draining window closes, one that lost them is whole again.
create or replace function deploy_gate.guarded(w deploy_gate.lease, closes text[]) returns void
language plpgsql as $$
begin
	if w.state = 'draining' then
		perform deploy_gate.become_closed(w, true, closes);
	else
		update deploy_gate.lease set locked = true, contested = false, external = null, blocked_at = null where id = w.id;
		if w.contested then
			perform deploy_gate.change(w.gates);
		end if;
	end if;
end $$;

-- The window is closed from now on, and its time counts from now. Where its close is asked in this batch, that is answered by it.
create or replace function deploy_gate.become_closed(w deploy_gate.lease, has_locks boolean, closes text[]) returns void
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
begin
	update deploy_gate.lease set state = 'closed', locked = has_locks, contested = not has_locks, blocked_at = null,
		external = case when has_locks then null else external end,
		closed_at = at, max_at = at + deploy_gate.ms(max_ms),
		expires_at = least(at + deploy_gate.ms(ttl_ms), at + deploy_gate.ms(max_ms)), drain_until = null,
		answered = id = any (closes), unclaimed_at = case when id <> all (closes) then unclaimed_at end
	where id = w.id;
	perform deploy_gate.record('closed', w, w.reason, w.holder), deploy_gate.change(w.gates);
end $$;

-- Somebody outside holds the gate exclusively, which is a window in all but name: the ticket has its number back.
create or replace function deploy_gate.back_to_queue(w deploy_gate.lease, outsiders json) returns void
language plpgsql as $$
begin
	update deploy_gate.lease set state = 'queued', fence = null, session = null, drain_until = null, external = outsiders
	where id = w.id;
	update deploy_gate.lease_gate set role = 'ticket' where lease = w.id;
end $$;

-- Somebody outside holds the gate shared, which is a pass in all but name: the window drains, and then as on_drain says.
create or replace function deploy_gate.drain_outsiders(w deploy_gate.lease, outsiders json, closes text[]) returns void
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
begin
	if w.drain_until is null then
		update deploy_gate.lease set drain_until = at + deploy_gate.ms(drain_ms), external = outsiders where id = w.id;
		perform deploy_gate.record('draining', w, w.reason, w.holder), deploy_gate.change(w.gates);
	elsif at < w.drain_until then
		update deploy_gate.lease set external = outsiders where id = w.id and external::text <> outsiders::text;
	elsif w.on_drain = 'abort' then
		perform deploy_gate.end_window(w, 'drain_timeout', null, 'a plain SQL session did not leave within drain');
	else
		update deploy_gate.lease set external = outsiders where id = w.id;
		perform deploy_gate.become_closed(w, false, closes);
	end if;
end $$;

-- How a close that was asked in this batch stands after settling.
create or replace function deploy_gate.close_outcome(id text, out outcome text, out body json)
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	l deploy_gate.lease;
begin
	select * into l from deploy_gate.lease where lease.id = close_outcome.id;
	if l.state = 'closed' then
		outcome := 'made';
		body := deploy_gate.lease_json(l, at);
	elsif l.state = 'queued' and l.wait_until <= at and deploy_gate.gap_left(l.gates) is null then
		body := json_build_object('gate', deploy_gate.gate_json(l.gates[1], at));
		perform deploy_gate.forget_ticket(l);
		outcome := 'held';
	elsif l.state = 'queued' then
		outcome := 'queued';
		body := json_build_object('ask_again_ms', 250);
	elsif l.state = 'draining' then
		outcome := case when l.drain_until is null then 'pending' else 'draining' end;
		body := json_build_object('drain_until_ms', deploy_gate.ms_between(at, l.drain_until));
	elsif l.ending = 'drain_timeout' then
		outcome := 'drain_timeout';
		body := json_build_object('gate', deploy_gate.gate_json(l.gates[1], at));
	else
		outcome := 'gone';
		body := json_build_object('lease', deploy_gate.lease_json(l, at));
	end if;
end $$;

-- A refused close leaves no trace of its token.
create or replace function deploy_gate.forget_ticket(l deploy_gate.lease) returns void
language plpgsql as $$
begin
	delete from deploy_gate.lease_gate where lease = l.id;
	delete from deploy_gate.lease where id = l.id;
	perform deploy_gate.change(l.gates);
end $$;

-- Until something falls due by itself; null for nothing. A batch that had to wait lets the renewals in first that waited with it
-- elsewhere.
create or replace function deploy_gate.next_due_ms() returns bigint
language plpgsql stable as $$
begin
	return (
		select greatest(deploy_gate.ms_between(deploy_gate.batch_now(), due), case when deploy_gate.was_held_up() then 250 end)
		from (
			select least(
				(select min(expires_at) from deploy_gate.lease where expires_at is not null and ended_at is null),
				(select min(opens_at) from deploy_gate.lease where opens_at is not null),
				(select min(unclaimed_at) + interval '15 s' from deploy_gate.lease where unclaimed_at is not null))) next (due)
		where due is not null);
end $$;

-- After the commit, in a transaction of its own: a commit that notifies takes a cluster-wide lock. Answers how many locks were
-- not held after all.
create or replace function deploy_gate.after(drop_x bigint[], drop_s bigint[], announcement text) returns bigint
language plpgsql as $$
declare
	missing bigint;
begin
	select count(*) filter (where not had) into missing from (
		select pg_advisory_unlock(k) from unnest(drop_x) k
		union all select pg_advisory_unlock_shared(k) from unnest(drop_s) k) dropped (had);
	if announcement <> '' then
		perform pg_notify('deploy_gate', announcement);
	end if;
	return missing;
end $$;
