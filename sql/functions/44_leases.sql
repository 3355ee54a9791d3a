-- The changes to one lease, whatever its kind.

-- Why a request about one lease, by id and digest, is refused; null where it may go on.
create or replace function deploy_gate.refusal(l deploy_gate.lease, request jsonb) returns text
language sql immutable as $$
	select case when l.id is null then 'not_found'
		when l.digest <> coalesce(request ->> 'digest', l.digest) then 'not_holder'
		when l.ended_at is not null then 'gone' end
$$;

-- What is told with that refusal. at: of a batch by default, which cannot stand in the list: what a default calls could not be
-- dropped for the functions of another release.
create or replace function deploy_gate.refusal_json(l deploy_gate.lease, outcome text,
	at timestamptz default null) returns json
language sql stable as $$
	select case outcome when 'gone' then json_build_object('lease', deploy_gate.lease_json(l, coalesce(at, deploy_gate.batch_now())))
		when 'not_holder' then json_build_object('detail', format('the token is not that of this %s', l.kind)) end
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
	body := deploy_gate.refusal_json(l, outcome);
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
	body := deploy_gate.refusal_json(l, outcome);
	if outcome is null then
		perform deploy_gate.end_lease(l, 'released', l.holder, null);
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
	began timestamptz;
begin
	select * into l from deploy_gate.lease where id = request ->> 'id';
	began := case when l.kind = 'pass' then l.created_at else l.closed_at end;
	outcome := deploy_gate.refusal(l, request);
	body := deploy_gate.refusal_json(l, outcome);
	if outcome is null then
		update deploy_gate.lease u
		set reason = coalesce(request ->> 'reason', u.reason), url = coalesce(request ->> 'url', u.url),
			max_ms = coalesce((request ->> 'max_ms')::bigint, u.max_ms),
			max_at = coalesce(began + deploy_gate.ms((request ->> 'max_ms')::bigint), u.max_at),
			expires_at = least(u.expires_at, began + deploy_gate.ms((request ->> 'max_ms')::bigint))
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
