-- Attached leases: each belongs to one event stream, whose replica renews it for as long as the stream stands.

-- The draining windows that passes among these leases are in the way of, by the passes' gates, as their holders are told of
-- them. Over one gate there is one at most.
create or replace function deploy_gate.closings(leases text[], at timestamptz) returns jsonb
language plpgsql stable as $$
begin
	return (
		select jsonb_object_agg(mine.gate, json_build_object('lease', w.id, 'holder', w.holder, 'reason', w.reason,
			'on_drain', w.on_drain, 'deadline_at', deploy_gate.rfc3339(w.drain_until),
			'deadline_in_ms', deploy_gate.ms_between(at, w.drain_until)))
		from (select distinct lg.gate from deploy_gate.lease_gate lg where lg.lease = any (leases) and lg.role = 'pass') mine
		cross join unnest(deploy_gate.path(mine.gate)) p
		join deploy_gate.lease_gate its on its.gate = p and its.role = 'window'
		join deploy_gate.lease w on w.id = its.lease and w.state = 'draining');
end $$;

-- The lease as its stream tells it: with "closing" while a deploy wants it to end, and "stop" once it has to. word: renewed,
-- closing, stop, or lost where it ended.
create or replace function deploy_gate.attached_json(l deploy_gate.lease, closings jsonb, at timestamptz,
	out word text, out told text)
language plpgsql stable as $$
declare
	closing jsonb;
begin
	word := case when l.ended_at is null then 'renewed' else 'lost' end;
	told := deploy_gate.lease_json(l, at);
	if l.kind = 'pass' and l.ended_at is null then
		closing := case when closings is not null then (
			select closings -> g from unnest(l.gates) g where closings ? g
			order by closings -> g ->> 'deadline_at' limit 1) end;
		if closing is not null then
			word := 'closing';
			told := left(told, -1) || ', "closing" : ' || closing || '}';
		end if;
		if l.stop_at is not null then
			word := 'stop';
			told := left(told, -1) || ', "stop" : true}';
		end if;
	end if;
end $$;

-- id digest stream: from now on the lease belongs to that stream, and to no earlier one. To attach is to renew. Answers as
-- change_renew_attached.
create or replace function deploy_gate.change_attach(request jsonb, out outcome text, out body text)
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
		set attached = true, was_attached = true, stream = request ->> 'stream',
			expires_at = case when u.expires_at is not null then least(at + deploy_gate.ms(u.ttl_ms), u.max_at) end
		where u.id = l.id returning * into l;
		outcome := 'ok';
		body := (select concat_ws(' ', l.id, word, l.ttl_ms, told) from deploy_gate.attached_json(l, deploy_gate.closings(array[l.id], at), at));
	end if;
end $$;

-- streams: {"<id>": "<stream>", …}: renews them all. Answers a line for each lease that there is: its id, a word, its
-- time to live in ms, and the lease. The word is replaced where it belongs to another stream, or to none, by now. A window that is not closed yet has no
-- expiry to move.
create or replace function deploy_gate.change_renew_attached(request jsonb, out outcome text, out body text)
language plpgsql as $$
declare
	at timestamptz := deploy_gate.batch_now();
	streams jsonb := request -> 'streams';
	ids text[] := array(select jsonb_object_keys(streams));
	closings jsonb := deploy_gate.closings(ids, at);
begin
	update deploy_gate.lease l set expires_at = least(at + deploy_gate.ms(l.ttl_ms), l.max_at)
	where l.id = any (ids) and l.stream = streams ->> l.id and l.ended_at is null and l.expires_at is not null;
	body := (
		select string_agg(concat_ws(' ', l.id, case when l.stream = streams ->> l.id then t.word else 'replaced' end,
			l.ttl_ms, t.told), E'\n')
		from deploy_gate.lease l, deploy_gate.attached_json(l, closings, at) t
		where l.id = any (ids));
	outcome := 'ok';
end $$;

-- streams, as above: these broke. Their leases live on until their time is over, unless another stream has them.
create or replace function deploy_gate.change_detach(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	streams jsonb := request -> 'streams';
	ids text[] := array(select jsonb_object_keys(streams));
begin
	update deploy_gate.lease l set attached = false, stream = null
	where l.id = any (ids) and l.stream = streams ->> l.id and l.ended_at is null;
	outcome := 'ok';
end $$;
