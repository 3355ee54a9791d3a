-- What is plain in a batch is decided together, in a few statements for any number of changes, because to start a statement
-- costs several times what it does to a row. Plain is the close, or the open, of one gate with nothing else near it; what is not
-- is decided alone afterwards, in order, by the functions that can decide everything.

-- requests: a list of what change_close takes. A row for each, in order.
create or replace function deploy_gate.change_closes(requests jsonb) returns table (outcome text, body json)
language plpgsql as $$
declare
	list jsonb[] := array(select jsonb_array_elements(requests));
	places integer[] := deploy_gate.plain_closes(list);
	gates text[];
	blocked bigint[];
	bodies json[];
begin
	gates := array(select list[p] -> 'gates' ->> 0 from unnest(places) p);
	if gates <> '{}' and deploy_gate.fits_budget(gates) then
		blocked := deploy_gate.take_locks(gates, 'x');
		if blocked is not null then
			places := array(
				select a.p from unnest(places, gates) a (p, gate) where not deploy_gate.keys_of(array[a.gate]) && blocked);
		end if;
		bodies := deploy_gate.close_together(list, places);
	end if;
	for place in 1 .. cardinality(list) loop
		outcome := 'made';
		body := bodies[place];
		if body is null then
			select c.outcome, c.body into outcome, body from deploy_gate.change_close(list[place]) c;
		end if;
		return next;
	end loop;
end $$;

-- The places of those in the list that are plain: a new token, one gate and a TTL that it allows, no lease and no gap near it, nor
-- an earlier close of the list.
create or replace function deploy_gate.plain_closes(list jsonb[]) returns integer[]
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
begin
	return array(
		select a.place
		from unnest(list) with ordinality q (request, place)
		cross join lateral (
			select q.place::integer, q.request -> 'gates' ->> 0, left(q.request ->> 'digest', 32)) a (place, gate, id)
		where jsonb_array_length(q.request -> 'gates') = 1 and not q.request ?| '{takeover,again}'
			and q.request -> 'known_only' <> 'true'
			and not coalesce(not q.request ? 'max_ms' and (q.request ->> 'ttl_ms')::bigint > deploy_gate.max_of(array[a.gate]), false)
			and not exists (select from deploy_gate.lease l where l.id = a.id)
			and not exists (
				select from deploy_gate.lease_gate lg
				where lg.gate >= a.gate and lg.gate < a.gate || '/' and (lg.gate = a.gate or lg.gate > a.gate || '.'))
			and not exists (
				select from deploy_gate.gate g
				where g.name >= a.gate and g.name < a.gate || '/' and (g.name = a.gate or g.name > a.gate || '.')
					and g.gap_until > at)
			and (strpos(a.gate, '.') = 0
				or not exists (select from deploy_gate.lease_gate lg where lg.gate = any (deploy_gate.path(a.gate)))
					and not exists (
						select from deploy_gate.gate g where g.name = any (deploy_gate.path(a.gate)) and g.gap_until > at))
			and not exists (
				select from unnest(list[:q.place - 1]) before (request), jsonb_array_elements_text(before.request -> 'gates') b (gate)
				where starts_with(a.gate || '.', b.gate || '.') or starts_with(b.gate || '.', a.gate || '.')
					or before.request -> 'digest' = q.request -> 'digest'));
end $$;

-- Makes the windows of these places, whose locks are had, and returns them at their places. Where nobody is near, nobody waits to
-- hear that a gate has shut: it is not announced.
create or replace function deploy_gate.close_together(list jsonb[], places integer[]) returns json[]
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	me bigint := deploy_gate.batch_session();
	bodies json[] := array_fill(null::json, array[cardinality(list)]);
	ids text[] := array(select left(list[p] ->> 'digest', 32) from unnest(places) p);
	gates text[] := array(select list[p] -> 'gates' ->> 0 from unnest(places) p);
	made record;
begin
	for made in
		insert into deploy_gate.lease as l (id, digest, kind, state, gates, holder, reason, release, url, job, number, fence,
			ttl_ms, max_ms, drain_ms, on_drain, on_expiry, grace_ms, created_at, wait_until, session, locked, answered,
			claim_session, claim_request, closed_at, expires_at, max_at)
		select left(r.digest, 32), r.digest, 'window', 'closed', r.gates, r.holder, r.reason, r.release, r.url, r.job,
			nextval('deploy_gate.ticket_number'), nextval('deploy_gate.fence'), life.ttl_ms, life.max_ms,
			coalesce(r.drain_ms, g.drain_ms, 600000), coalesce(r.on_drain, g.on_drain, 'abort'),
			coalesce(r.on_expiry, g.on_expiry, 'open'), coalesce(r.grace_ms, g.grace_ms, 0), at,
			at + deploy_gate.ms(coalesce((list[p] ->> 'wait_ms')::bigint, 0)), me, true, true, me,
			(list[p] ->> 'claim')::bigint, at, at + deploy_gate.ms(life.ttl_ms), at + deploy_gate.ms(life.max_ms)
		from unnest(places) p
		cross join lateral jsonb_populate_record(null::deploy_gate.lease, list[p]) r
		left join deploy_gate.gate g on g.name = r.gates[1]
		cross join lateral (
			select least(coalesce(r.ttl_ms, g.ttl_ms, 1800000), coalesce(r.max_ms, g.max_ms, 14400000)),
				coalesce(r.max_ms, g.max_ms, 14400000)) life (ttl_ms, max_ms)
		returning l.id, deploy_gate.lease_json(l, at) as body
	loop
		bodies[places[array_position(ids, made.id)]] := made.body;
	end loop;
	insert into deploy_gate.lease_gate (lease, gate, role, key, ancestor_keys)
	select a.id, a.gate, 'window', deploy_gate.prefixed_key('deploy_gate:', a.gate), deploy_gate.ancestor_keys(a.gate)
	from unnest(ids, gates) a (id, gate);
	insert into deploy_gate.gate (name)
	select g from unnest(gates) g where not exists (select from deploy_gate.gate k where k.name = g);
	insert into deploy_gate.event (at, kind, gate, lease, holder, reason, by)
	select at, 'closed', a.gate, a.id, list[a.p] ->> 'holder', list[a.p] ->> 'reason', list[a.p] ->> 'holder'
	from unnest(places, ids, gates) a (p, id, gate);
	return bodies;
end $$;

-- requests: a list of what change_open takes. A row for each, in order.
create or replace function deploy_gate.change_opens(requests jsonb) returns table (outcome text, body json)
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	list jsonb[] := array(select jsonb_array_elements(requests));
	bodies json[] := array_fill(null::json, array[cardinality(list)]);
	ids text[] := '{}';
	gates text[] := '{}';
	fences bigint[] := '{}';
	lasted_ms bigint[] := '{}';
	e record;
begin
	for e in
		update deploy_gate.lease l
		set state = 'ended', ended_at = at, ending = 'opened', ended_by = l.holder, end_reason = q.request ->> 'reason',
			claim_session = null, claim_request = null, unclaimed_at = null
		from unnest(list) with ordinality q (request, place)
		where l.id = left(q.request ->> 'digest', 32) and l.digest = q.request ->> 'digest' and l.kind = 'window'
			and l.state = 'closed' and cardinality(l.gates) = 1 and not l.jobs_waited and q.request -> 'gates' ? l.gates[1]
			and not q.request ? 'outcome'
			and not exists (
				select from deploy_gate.lease_gate lg
				where lg.gate >= l.gates[1] and lg.gate < l.gates[1] || '/' and lg.role in ('inside', 'overrun')
					and (lg.gate = l.gates[1] or lg.gate > l.gates[1] || '.'))
		returning q.place, l.id, l.gates[1] as gate, l.fence, greatest(deploy_gate.ms_between(l.closed_at, at), 0) as lasted_ms,
			deploy_gate.lease_json(l, at) as body
	loop
		bodies[e.place] := e.body;
		ids := ids || e.id;
		gates := gates || e.gate;
		fences := fences || e.fence;
		lasted_ms := lasted_ms || e.lasted_ms;
	end loop;
	if ids <> '{}' then
		insert into deploy_gate.event (at, kind, gate, lease, holder, reason, by)
		select at, 'opened', l.gates[1], l.id, l.holder, l.end_reason, l.holder
		from unnest(ids) i join deploy_gate.lease l on l.id = i;
		delete from deploy_gate.lease_gate lg using unnest(ids) i where lg.lease = i;
		update deploy_gate.gate g
		set freed_at = at, gap_until = null, fence = a.fence,
			typical_ms = (3 * coalesce(g.typical_ms, a.lasted_ms) + a.lasted_ms) / 4
		from unnest(gates, fences, lasted_ms) a (name, fence, lasted_ms) where g.name = a.name;
		perform deploy_gate.leave_locks(gates), deploy_gate.change(gates);
	end if;
	for place in 1 .. cardinality(list) loop
		outcome := 'ok';
		body := bodies[place];
		if body is null then
			select o.outcome, o.body into outcome, body from deploy_gate.change_open(list[place]) o;
		end if;
		return next;
	end loop;
end $$;
