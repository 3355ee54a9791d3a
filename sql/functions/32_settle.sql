-- Settle: makes the advisory locks of a session match its rows, and with that drains and closes windows; then tells how it all came
-- out.

-- Makes the locks of this session match the rows: takes by try what its windows lack, names what nobody wants any more.
-- everything: not only for the gates of this batch. Answers rows: 'close' with lease, outcome and body, one for each close that
-- waits for it; 'took' with key and mode; 'drop' with key and mode and 'changed' with a gate in lease, both of which it postpones;
-- and, where everything was looked at, 'next' with the milliseconds until the next tick is due in key.
create or replace function deploy_gate.settle(everything boolean)
returns table (what text, lease text, outcome text, key bigint, mode text, body json)
language plpgsql as $$
declare
	touched text[] := deploy_gate.noted('touched');
	told text[] := '{}';
	postponed text[] := '{}';
	w deploy_gate.lease;
	word text;
begin
	if everything or touched <> '{}' then
		for w in select * from deploy_gate.unlocked_windows(touched, everything) loop
			perform deploy_gate.settle_window(w);
		end loop;
		perform deploy_gate.settle_passes(touched, everything);
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
		for key, mode in select u.key, u.mode from deploy_gate.unwanted(touched, everything) u loop
			postponed := postponed || (mode || key);
			return next;
		end loop;
	end if;
	key := null;
	mode := null;
	what := 'changed';
	told := '{}';
	foreach lease in array deploy_gate.noted('changed') loop
		continue when lease = any (told);
		told := told || lease;
		postponed := postponed || (':' || lease);
		return next;
	end loop;
	if postponed <> '{}' then
		perform deploy_gate.postpone(array_to_string(postponed, ','));
	end if;
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
	return query
		select l.*
		from deploy_gate.lease l
		where l.id = any (array(
				select lg.lease from deploy_gate.lease_gate lg
				where lg.role = 'window' and (everything or lg.gate = any (touched))))
			and l.session = deploy_gate.batch_session() and not l.locked
		order by l.fence;
end $$;

-- What of the account no lease of this session wants any more: of all it holds, or of the gates near and their ancestors.
create or replace function deploy_gate.unwanted(near text[], everything boolean) returns table (key bigint, mode text)
language plpgsql as $$
declare
	me bigint := deploy_gate.batch_session();
	held_x bigint[] := deploy_gate.held('x');
	held_s bigint[] := deploy_gate.held('s');
begin
	if everything then
		return query
			(select k, 'x' from unnest(held_x) k
			except select lg.key, 'x' from deploy_gate.lease_gate lg
				where lg.role = 'window' and (select l.session from deploy_gate.lease l where l.id = lg.lease) = me)
			union all
			(select k, 's' from unnest(held_s) k
			except select k, 's' from deploy_gate.lease_gate lg,
					unnest(case lg.role when 'pass' then lg.key || lg.ancestor_keys else lg.ancestor_keys end) k
				where lg.role in ('window', 'pass')
					and (select l.session from deploy_gate.lease l where l.id = lg.lease) = me);
		return;
	end if;
	if held_x <> '{}' then
		return query
			select n.k, 'x'
			from (select distinct g, deploy_gate.prefixed_key('deploy_gate:', g) from unnest(near) g) n (name, k)
			where n.k = any (held_x) and not exists (
				select from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease
				where lg.gate = n.name and lg.role = 'window' and l.session = me);
	end if;
	if held_s <> '{}' then
		return query
			select n.k, 's'
			from (select distinct p, deploy_gate.prefixed_key('deploy_gate:', p) from unnest(deploy_gate.paths(near)) p) n (name, k)
			where n.k = any (held_s)
				and not exists (
					select from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease
					where lg.gate > n.name || '.' and lg.gate < n.name || '/' and lg.role in ('window', 'pass') and l.session = me)
				and not exists (
					select from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease
					where lg.gate = n.name and lg.role = 'pass' and l.session = me);
	end if;
end $$;

-- A window that lacks a lock. While passes are inside its rows guard its gates; what is above them it holds at once. Nobody inside
-- is to leave for one that cannot have its gates: a deploy below them goes first.
create or replace function deploy_gate.settle_window(w deploy_gate.lease) returns void
language plpgsql as $$
declare
	deploys json;
begin
	if w.state = 'draining' and deploy_gate.passes_inside(w.gates) then
		deploys := deploy_gate.deploys_below(w.gates);
		if deploys is not null then
			perform deploy_gate.give_way(w, deploys);
			return;
		elsif deploy_gate.drain_inside(w) then
			perform deploy_gate.take_locks(array(
				select p from unnest(w.gates) g, unnest(deploy_gate.path(g)) p where p <> all (w.gates)), 's');
			return;
		end if;
	end if;
	perform deploy_gate.settle_lease(w, deploy_gate.take_locks(w.gates, 'x'), 'ExclusiveLock');
end $$;

-- How the take came out for one lease. blocked: keys that were not had, or null for none; mode: the strongest that it wants.
create or replace function deploy_gate.settle_lease(w deploy_gate.lease, blocked bigint[], mode text) returns void
language plpgsql as $$
declare
	outsiders json;
begin
	if blocked is null then
		perform deploy_gate.guarded(w);
		return;
	end if;
	if w.kind = 'window' then
		outsiders := deploy_gate.deploys_below(w.gates);
	end if;
	outsiders := coalesce(outsiders, deploy_gate.outsiders(blocked, mode));
	-- Null for a probe, or a lock of ours that is just being dropped: it will go.
	if outsiders is not null then
		perform deploy_gate.give_way(w, outsiders);
	end if;
end $$;

-- Somebody outside is in the way of a lease; what it does about it, once they are seen twice.
create or replace function deploy_gate.give_way(w deploy_gate.lease, outsiders json) returns void
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	seen_twice boolean := w.blocked_at < at - interval '20 ms';
begin
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

-- A draining window closes, and its time counts from now. Where its close is asked in this batch, that is answered by it.
create or replace function deploy_gate.become_closed(w deploy_gate.lease, has_locks boolean) returns void
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	asked boolean := w.id = any (deploy_gate.noted('closes'));
begin
	update deploy_gate.lease u
	set state = 'closed', locked = has_locks, contested = not has_locks, blocked_at = null,
		external = case when not has_locks then u.external end, drain_until = null, closed_at = at,
		max_at = at + deploy_gate.ms(u.max_ms), expires_at = at + deploy_gate.ms(u.ttl_ms), answered = asked,
		unclaimed_at = case when not asked then u.unclaimed_at end
	where u.id = w.id;
	perform deploy_gate.record('closed', w, w.reason, w.holder), deploy_gate.change(w.gates);
end $$;

-- Somebody outside holds the gate exclusively, which is a window in all but name: the ticket has its number back.
create or replace function deploy_gate.back_to_queue(w deploy_gate.lease, outsiders json) returns void
language plpgsql as $$
begin
	update deploy_gate.lease set state = 'queued', fence = null, session = null, drain_until = null, stop_at = null,
		external = outsiders
	where id = w.id;
	update deploy_gate.lease_gate set role = 'ticket' where lease = w.id;
	if w.replaced is not null then
		perform deploy_gate.crash_again(w);
	end if;
	if w.let_in then
		perform deploy_gate.make_ordinary(w);
	end if;
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

-- The first of these gates that has passes inside, or else the first.
create or replace function deploy_gate.occupied_gate(gates text[]) returns text
language plpgsql stable as $$
begin
	return coalesce(
		(select g from unnest(gates) with ordinality n (g, place) where deploy_gate.passes_inside(array[g]) order by place limit 1),
		gates[1]);
end $$;

-- One of these gates, and who did not leave it: its passes, and as external the sessions that share a lock.
create or replace function deploy_gate.stayed_json(gates text[], at timestamptz) returns json
language plpgsql volatile as $$
declare
	keys bigint[] := array(select deploy_gate.prefixed_key('deploy_gate:', g) from unnest(gates) g);
	outsiders json := deploy_gate.outsiders(keys, 'ExclusiveLock');
begin
	return json_build_object('gate', case
		when outsiders is null then deploy_gate.gate_json(deploy_gate.occupied_gate(gates), at)
		else (deploy_gate.gate_json(deploy_gate.occupied_gate(gates), at)::jsonb || jsonb_build_object('external', outsiders))::json
	end);
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
		body := json_build_object('gate', deploy_gate.gate_json(coalesce(deploy_gate.gate_held_outside(l.gates), l.gates[1]), at));
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
		body := deploy_gate.stayed_json(l.gates, at);
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

-- Until something falls due by itself; 0 where more is due than one tick takes, null for nothing. A batch that had to wait lets
-- the renewals in first that waited with it elsewhere. Drains and the locks of passes are for their owner to see to.
create or replace function deploy_gate.next_due_ms() returns bigint
language plpgsql stable as $$
declare
	me bigint := deploy_gate.batch_session();
	soon timestamptz := deploy_gate.batch_now() + interval '250 ms';
begin
	return (
		select greatest(deploy_gate.ms_between(deploy_gate.batch_now(), due), case when deploy_gate.was_held_up() then 250 else 0 end)
		from (
			select min(least(case when l.ended_at is null then l.expires_at end, l.opens_at, l.unclaimed_at + interval '15 s',
				case when l.session = me and l.ended_at is null then l.drain_until end,
				case when l.session = me and l.kind = 'pass' and not l.locked and not l.contested then soon end))
			from deploy_gate.leases_that_matter() l) next (due)
		where due is not null);
end $$;
