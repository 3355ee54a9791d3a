-- The frame of a batch: begin (a query), then the changes and settle (in files of their own), and afterwards the drop of locks and
-- the announcement. What one call leaves for the next in the same transaction (the clock, the session, the gates touched) is kept
-- in transaction-local settings, so that a change without a begin before it fails.

-- Stamps the session, unless it is not whom it claims to be any more. It is asked no more often than that: nobody else can
-- supersede a session whose stamp is fresh, and whose backend lives. Which session it is, and when it was stamped, is remembered
-- in settings of the session.
create or replace function deploy_gate.stamp_session(me bigint, at timestamptz) returns void
language plpgsql as $$
begin
	update deploy_gate.session set stamped_at = at where number = me and ended_at is null and pid = pg_backend_pid();
	if not found then
		raise exception 'deploy-gate: session % was superseded or declared dead', me using errcode = 'DG001';
	end if;
	perform set_config('deploy_gate.session', me::text, false), set_config('deploy_gate.stamped_at', at::text, false);
end $$;

-- A stamp that is old or ahead shows that the service was away, or that the clock was stepped back.
create or replace function deploy_gate.stamp_service(at timestamptz, gap interval) returns void
language plpgsql as $$
begin
	if gap > interval '5 s' or gap < interval '-1 s' then
		perform deploy_gate.shift_clocks(gap);
		update deploy_gate.service set stamped_at = at, serving_since = at;
	else
		update deploy_gate.service set stamped_at = at;
	end if;
end $$;

-- Nobody could renew while the service was away, and the clock may have been stepped back: what is due moves with it.
create or replace function deploy_gate.shift_clocks(gap interval) returns void
language sql as $$
	update deploy_gate.lease set expires_at = expires_at + gap, max_at = max_at + gap, drain_until = drain_until + gap,
		wait_until = wait_until + gap, stop_at = stop_at + gap, unclaimed_at = unclaimed_at + gap, opens_at = opens_at + gap,
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
language sql stable as $$ select current_setting('deploy_gate.held_up', true) = 'yes' $$;

-- The lists that the calls of one batch leave for each other: words by commas, some perhaps twice. Each begins empty with the
-- transaction.
create or replace function deploy_gate.noted(list text) returns text[]
language sql stable as $$
	select array_remove(string_to_array(coalesce(current_setting('deploy_gate.' || list, true), ''), ','), '')
$$;

create or replace function deploy_gate.note(list text, words text) returns text
language sql volatile as $$
	select set_config('deploy_gate.' || list, concat(current_setting('deploy_gate.' || list, true), words, ','), true)
$$;

-- Gates where a lease may lack a lock.
create or replace function deploy_gate.touch(gates text[]) returns text
language sql volatile as $$ select deploy_gate.note('touched', array_to_string(gates, ',')) $$;

-- Gates where a lock may not be wanted any more.
create or replace function deploy_gate.leave_locks(gates text[]) returns text
language sql volatile as $$ select deploy_gate.note('left', array_to_string(gates, ',')) $$;

-- Gates that are to be announced, because they came out different for somebody.
create or replace function deploy_gate.change(gates text[]) returns text
language sql volatile as $$ select deploy_gate.note('changed', array_to_string(gates, ',')) $$;

-- Settle is to tell how the close of this lease came out; more than one may be asked in one batch.
create or replace function deploy_gate.await_settling(lease text) returns text
language sql volatile as $$ select deploy_gate.note('closes', lease) $$;

create or replace function deploy_gate.record(kind text, l deploy_gate.lease, reason text, by text) returns void
language plpgsql as $$
declare
	gate text;
begin
	foreach gate in array l.gates loop
		insert into deploy_gate.event (at, kind, gate, lease, holder, reason, by)
		values (deploy_gate.batch_now(), record.kind, gate, l.id, l.holder, record.reason, record.by);
	end loop;
end $$;

-- What this session holds in that mode, with what this batch took.
create or replace function deploy_gate.held(mode text) returns bigint[]
language sql stable as $$ select coalesce(nullif(current_setting('deploy_gate.held_' || mode, true), ''), '{}')::bigint[] $$;

-- How many locks this session may hold: a tenth of PostgreSQL's lock table, because that is for everybody, and once it is full
-- nobody's statements are carried out.
create or replace function deploy_gate.lock_budget() returns integer
language sql stable as $$
	select current_setting('max_locks_per_transaction')::integer
		* (current_setting('max_connections')::integer + current_setting('max_prepared_transactions')::integer) / 10
$$;

-- Whether the locks of these gates, and of those above them, fit into the budget. Only where it is not clear that they do those are
-- told apart that are held already.
create or replace function deploy_gate.fits_budget(gates text[]) returns boolean
language plpgsql stable as $$
declare
	held bigint[] := deploy_gate.held('x') || deploy_gate.held('s');
	room integer := deploy_gate.lock_budget() - cardinality(held);
	names text := array_to_string(gates, ',');
begin
	if length(names) - length(translate(names, '.,', '')) < room then
		return true;
	end if;
	return room >= (
		select count(distinct p) from unnest(deploy_gate.paths(gates)) p where deploy_gate.prefixed_key('deploy_gate:', p) <> all (held));
end $$;

create or replace function deploy_gate.over_budget_json() returns json
language sql stable as $$
	select json_build_object('detail', format('this server may hold %s locks, a tenth of what PostgreSQL has room for, and holds as many; '
		'ask another server or later, or raise max_locks_per_transaction', deploy_gate.lock_budget()))
$$;

-- Takes by try what a lease over these gates wants and this session does not hold: the gates in the given mode, x for a window
-- and s for a pass, their ancestors shared. The keys that were not had, because somebody is in the way, or null.
create or replace function deploy_gate.take_locks(gates text[], mode text) returns bigint[]
language plpgsql volatile as $$
declare
	held_x bigint[] := deploy_gate.held('x');
	held_s bigint[] := deploy_gate.held('s');
	took text := '';
	blocked bigint[];
	gate text;
	p text;
	key bigint;
begin
	foreach gate in array gates loop
		foreach p in array deploy_gate.path(gate) loop
			key := deploy_gate.prefixed_key('deploy_gate:', p);
			if p = gate and mode = 'x' then
				if key = any (held_x) then
					continue;
				elsif pg_try_advisory_lock(key) then
					held_x := held_x || key;
					took := took || 'x' || key || ',';
					continue;
				end if;
			elsif key = any (held_s) then
				continue;
			elsif pg_try_advisory_lock_shared(key) then
				held_s := held_s || key;
				took := took || 's' || key || ',';
				continue;
			end if;
			blocked := blocked || key;
		end loop;
	end loop;
	if took <> '' then
		perform set_config('deploy_gate.took', concat(current_setting('deploy_gate.took', true), took), true),
			set_config('deploy_gate.held_x', held_x::text, true), set_config('deploy_gate.held_s', held_s::text, true);
	end if;
	return blocked;
end $$;

-- What is to be done behind the commit: "x" or "s" and the key of a lock to drop, ":" and a gate to announce. A setting of the
-- session, because that is rolled back with the transaction and yet outlives it.
create or replace function deploy_gate.postpone(words text) returns text
language sql volatile as $$
	select set_config('deploy_gate.postponed', concat(current_setting('deploy_gate.postponed', true), words, ','), false)
$$;

-- Does what the transaction before it postponed, in one of its own: a commit that notifies takes a cluster-wide lock. Answers how
-- many locks were not held after all.
create or replace function deploy_gate.after() returns bigint
language plpgsql as $$
declare
	postponed text := current_setting('deploy_gate.postponed', true);
	missing bigint := 0;
	changed text := '';
	word text;
begin
	if coalesce(postponed, '') = '' then
		return 0;
	end if;
	foreach word in array string_to_array(rtrim(postponed, ','), ',') loop
		if starts_with(word, 'x') then
			missing := missing + (not pg_advisory_unlock(substr(word, 2)::bigint))::integer;
		elsif starts_with(word, 's') then
			missing := missing + (not pg_advisory_unlock_shared(substr(word, 2)::bigint))::integer;
		else
			changed := changed || ',' || substr(word, 2);
		end if;
	end loop;
	if changed <> '' then
		perform pg_notify('deploy_gate', case when length(changed) > 7000 then '*' else substr(changed, 2) end);
	end if;
	perform set_config('deploy_gate.postponed', '', false);
	return missing;
end $$;
