-- The frame of a batch: begin, the changes (in files of their own), settle, and afterwards the drop of locks and the
-- announcement. What one call leaves for the next in the same transaction (the clock, the session, the gates touched) is kept
-- in transaction-local settings, so that a change without a begin before it fails.

-- Locks the one service row, so that of all replicas only one batch is decided at a time; checks that this session is still
-- whom it claims to be; reads the clock once for the whole batch, and stamps it where due. held_up_ms: for how long begin has
-- failed before, because somebody else had the row. held_x, held_s: the account of the locks this session holds, because
-- PostgreSQL counts a lock taken twice.
create or replace function deploy_gate.begin(me bigint, held_up_ms bigint, held_x bigint[], held_s bigint[]) returns void
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
		set_config('deploy_gate.touched', '', true), set_config('deploy_gate.left', '', true),
		set_config('deploy_gate.changed', '', true), set_config('deploy_gate.closes', '', true),
		set_config('deploy_gate.held_x', held_x::text, true), set_config('deploy_gate.held_s', held_s::text, true),
		set_config('deploy_gate.took', '', true);
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

-- The lists that the calls of one batch leave for each other: words by commas.
create or replace function deploy_gate.noted(list text) returns text[]
language sql stable as $$ select array_remove(string_to_array(current_setting('deploy_gate.' || list), ','), '') $$;

create or replace function deploy_gate.note(list text, words text[]) returns void
language plpgsql as $$
declare
	noted text := current_setting('deploy_gate.' || list);
	word text;
begin
	foreach word in array words loop
		if strpos(',' || noted, ',' || word || ',') = 0 then
			noted := noted || word || ',';
		end if;
	end loop;
	perform set_config('deploy_gate.' || list, noted, true);
end $$;

-- Gates where a window may lack a lock.
create or replace function deploy_gate.touch(gates text[]) returns void
language plpgsql as $$ begin perform deploy_gate.note('touched', gates); end $$;

-- Gates where a lock may not be wanted any more.
create or replace function deploy_gate.leave_locks(gates text[]) returns void
language plpgsql as $$ begin perform deploy_gate.note('left', gates); end $$;

-- Gates that are to be announced, because they came out different for somebody.
create or replace function deploy_gate.change(gates text[]) returns void
language plpgsql as $$ begin perform deploy_gate.note('changed', gates); end $$;

-- Settle is to tell how the close of this lease came out; more than one may be asked in one batch.
create or replace function deploy_gate.await_settling(lease text) returns void
language plpgsql as $$
begin
	perform set_config('deploy_gate.closes', current_setting('deploy_gate.closes') || lease || ',', true);
end $$;

create or replace function deploy_gate.record(kind text, l deploy_gate.lease, reason text, by text) returns void
language plpgsql as $$
begin
	insert into deploy_gate.event (at, kind, gate, lease, holder, reason, by)
	select deploy_gate.batch_now(), $1, g, l.id, l.holder, $3, $4 from unnest(l.gates) g;
end $$;

-- What this session holds in that mode, with what this batch took.
create or replace function deploy_gate.held(mode text) returns bigint[]
language plpgsql stable as $$
begin
	return current_setting('deploy_gate.held_' || mode)::bigint[];
end $$;

-- Takes a lock by try, if it is not held; false: somebody is in the way.
create or replace function deploy_gate.take(key bigint, mode text) returns boolean
language plpgsql volatile as $$
declare
	held bigint[] := deploy_gate.held(mode);
begin
	if key = any (held) then
		return true;
	elsif not (case mode when 'x' then pg_try_advisory_lock(key) else pg_try_advisory_lock_shared(key) end) then
		return false;
	end if;
	perform set_config('deploy_gate.held_' || mode, (held || key)::text, true),
		set_config('deploy_gate.took', current_setting('deploy_gate.took') || mode || key || ',', true);
	return true;
end $$;

-- Takes what a window over these gates wants: the gates exclusively, their ancestors shared. The keys that were not had, or null.
create or replace function deploy_gate.take_locks(gates text[]) returns bigint[]
language plpgsql volatile as $$
declare
	gate text;
	p text;
	key bigint;
	blocked bigint[];
begin
	foreach gate in array gates loop
		foreach p in array deploy_gate.path(gate) loop
			key := deploy_gate.prefixed_key('deploy_gate:', p);
			if not deploy_gate.take(key, case when p = gate then 'x' else 's' end) then
				blocked := blocked || key;
			end if;
		end loop;
	end loop;
	return blocked;
end $$;

-- Makes the locks of this session match the rows: takes by try what its windows lack, names what nobody wants any more.
-- everything: not only for the gates of this batch. Answers rows: 'close' with lease, outcome and body, one for each close that
-- waits for it; 'took' and 'drop' with key and mode; 'changed' with a gate in lease; and, where everything was looked at, 'next'
-- with the milliseconds until the next tick is due in key.
create or replace function deploy_gate.settle(everything boolean)
returns table (what text, lease text, outcome text, key bigint, mode text, body json)
language plpgsql as $$
declare
	touched text[] := deploy_gate.noted('touched');
	told text[] := '{}';
	w deploy_gate.lease;
	word text;
begin
	if everything or touched <> '{}' then
		for w in select * from deploy_gate.unlocked_windows(touched, everything) loop
			perform deploy_gate.settle_window(w, deploy_gate.take_locks(w.gates));
		end loop;
	end if;
	what := 'close';
	foreach lease in array deploy_gate.noted('closes') loop
		select c.outcome, c.body into outcome, body from deploy_gate.close_outcome(lease) c;
		-- Of several closes of one lease the first is told that it made it.
		outcome := case when outcome = 'made' and lease = any (told) then 'ok' else outcome end;
		told := told || lease;
		return next;
	end loop;
	lease := null;
	outcome := null;
	body := null;
	what := 'took';
	foreach word in array deploy_gate.noted('took') loop
		mode := left(word, 1);
		key := substr(word, 2);
		return next;
	end loop;
	what := 'drop';
	touched := touched || deploy_gate.noted('left');
	if everything or touched <> '{}' then
		for key, mode in
			select u.key, u.mode from deploy_gate.unwanted(deploy_gate.held('x'), deploy_gate.held('s'), touched, everything) u
		loop
			return next;
		end loop;
	end if;
	key := null;
	mode := null;
	what := 'changed';
	foreach lease in array deploy_gate.noted('changed') loop
		return next;
	end loop;
	if everything then
		lease := null;
		what := 'next';
		key := deploy_gate.next_due_ms();
		return next;
	end if;
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

-- What of the account no lease of this session wants any more: of all it holds, or of the gates near and their ancestors.
create or replace function deploy_gate.unwanted(held_x bigint[], held_s bigint[], near text[], everything boolean)
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
			with close_by as materialized (
				select distinct p as name, deploy_gate.prefixed_key('deploy_gate:', p) as k
				from unnest(deploy_gate.paths(unwanted.near)) p
			)
			select n.k, 'x' from close_by n
			where n.k = any (held_x) and not exists (
				select from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease
				where lg.gate = n.name and lg.role = 'window' and l.session = me)
			union all
			select n.k, 's' from close_by n
			where n.k = any (held_s) and not exists (
				select from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease
				where lg.gate > n.name || '.' and lg.gate < n.name || '/' and lg.role = 'window' and l.session = me);
	end if;
end $$;

-- How the take came out for one window. blocked: keys that were not had, or null for none.
create or replace function deploy_gate.settle_window(w deploy_gate.lease, blocked bigint[]) returns void
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	outsiders json;
	seen_twice boolean := w.blocked_at < at - interval '20 ms';
begin
	if blocked is null then
		perform deploy_gate.guarded(w);
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
		perform deploy_gate.drain_outsiders(w, outsiders);
	end if;
end $$;

-- All locks are had: a draining window closes, one that lost them is whole again.
create or replace function deploy_gate.guarded(w deploy_gate.lease) returns void
language plpgsql as $$
begin
	if w.state = 'draining' then
		perform deploy_gate.become_closed(w, true);
	else
		update deploy_gate.lease set locked = true, contested = false, external = null, blocked_at = null where id = w.id;
		if w.contested then
			perform deploy_gate.change(w.gates);
		end if;
	end if;
end $$;

-- The window as it is once closed: its time counts from now.
create or replace function deploy_gate.closed_now(w deploy_gate.lease, has_locks boolean) returns deploy_gate.lease
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
begin
	w.state := 'closed';
	w.locked := has_locks;
	w.contested := not has_locks;
	w.blocked_at := null;
	w.external := case when not has_locks then w.external end;
	w.drain_until := null;
	w.closed_at := at;
	w.max_at := at + deploy_gate.ms(w.max_ms);
	w.expires_at := least(at + deploy_gate.ms(w.ttl_ms), w.max_at);
	return w;
end $$;

-- A draining window closes. Where its close is asked in this batch, that is answered by it.
create or replace function deploy_gate.become_closed(w deploy_gate.lease, has_locks boolean) returns void
language plpgsql as $$
declare
	asked boolean := w.id = any (deploy_gate.noted('closes'));
begin
	w := deploy_gate.closed_now(w, has_locks);
	update deploy_gate.lease set state = w.state, locked = w.locked, contested = w.contested, blocked_at = w.blocked_at,
		external = w.external, drain_until = w.drain_until, closed_at = w.closed_at, max_at = w.max_at,
		expires_at = w.expires_at, answered = asked,
		unclaimed_at = case when not asked then unclaimed_at end
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
create or replace function deploy_gate.drain_outsiders(w deploy_gate.lease, outsiders json) returns void
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
		perform deploy_gate.become_closed(w, false);
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

-- Until something falls due by itself; 0 where more is due than one tick takes, null for nothing. A batch that had to wait lets the renewals in first that waited with it
-- elsewhere.
create or replace function deploy_gate.next_due_ms() returns bigint
language plpgsql stable as $$
begin
	return (
		select greatest(deploy_gate.ms_between(deploy_gate.batch_now(), due), case when deploy_gate.was_held_up() then 250 else 0 end)
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
