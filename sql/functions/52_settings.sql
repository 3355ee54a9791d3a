-- The settings of a gate: how many passes at once, the gap between two deploys, and what a close says that does not say it.

-- Each setting, null where it is not set, and the default that applies then. The defaults of closes are those of make_window.
create or replace function deploy_gate.settings_json(gate text) returns json
language plpgsql stable as $$
declare
	g deploy_gate.gate := (select k from deploy_gate.gate k where k.name = $1);
begin
	return json_build_object('gate', $1, 'known', g.name is not null, 'limit', g.pass_limit, 'gap_ms', g.gap_ms,
		'ttl_ms', g.ttl_ms, 'max_ms', g.max_ms, 'drain_ms', g.drain_ms, 'on_drain', g.on_drain, 'on_expiry', g.on_expiry,
		'grace_ms', g.grace_ms,
		'defaults', json_build_object('limit', null, 'gap_ms', 500, 'ttl_ms', 1800000, 'max_ms', 14400000, 'drain_ms', 600000,
			'on_drain', 'abort', 'on_expiry', 'open', 'grace_ms', 0));
end $$;

-- 5400000 as 1h30m, as requests have it.
create or replace function deploy_gate.duration(ms bigint) returns text
language plpgsql immutable as $$
begin
	return case ms when 0 then '0s' else (
		select string_agg(n || unit, '' order by place)
		from (values (1, 'd', ms / 86400000), (2, 'h', ms / 3600000 % 24), (3, 'm', ms / 60000 % 60), (4, 's', ms / 1000 % 60),
			(5, 'ms', ms % 1000)) parts (place, unit, n)
		where n > 0) end;
end $$;

-- What is set, as a request would say it, for the history.
create or replace function deploy_gate.settings_sentence(g deploy_gate.gate) returns text
language plpgsql immutable as $$
begin
	return coalesce((
		select string_agg(name || '=' || value, ' ' order by place)
		from (values (1, 'limit', g.pass_limit::text), (2, 'gap', deploy_gate.duration(g.gap_ms)),
			(3, 'ttl', deploy_gate.duration(g.ttl_ms)), (4, 'max', deploy_gate.duration(g.max_ms)),
			(5, 'drain', deploy_gate.duration(g.drain_ms)), (6, 'on_drain', g.on_drain), (7, 'on_expiry', g.on_expiry),
			(8, 'grace', deploy_gate.duration(g.grace_ms))) settings (place, name, value)
		where value is not null), 'the defaults');
end $$;

-- gate limit gap_ms ttl_ms max_ms drain_ms on_drain on_expiry grace_ms, reason by: the whole set anew; what is not named goes
-- back to its default. Makes the gate known.
create or replace function deploy_gate.change_settings(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	asked deploy_gate.gate := jsonb_populate_record(null::deploy_gate.gate, request);
	was deploy_gate.gate := (select k from deploy_gate.gate k where k.name = request ->> 'gate');
	g deploy_gate.gate;
begin
	insert into deploy_gate.gate as k (name, declared, pass_limit, gap_ms, ttl_ms, max_ms, drain_ms, on_drain, on_expiry, grace_ms)
	values (request ->> 'gate', true, (request ->> 'limit')::integer, asked.gap_ms, asked.ttl_ms, asked.max_ms, asked.drain_ms,
		asked.on_drain, asked.on_expiry, asked.grace_ms)
	on conflict (name) do update set declared = true, pass_limit = excluded.pass_limit, gap_ms = excluded.gap_ms,
		ttl_ms = excluded.ttl_ms, max_ms = excluded.max_ms, drain_ms = excluded.drain_ms, on_drain = excluded.on_drain,
		on_expiry = excluded.on_expiry, grace_ms = excluded.grace_ms
	returning k.* into g;
	perform deploy_gate.note_settings(was, g, request);
	outcome := 'ok';
	body := deploy_gate.settings_json(g.name);
end $$;

-- gate, reason by: all back to the defaults. The gate stays known.
create or replace function deploy_gate.change_forget_settings(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	was deploy_gate.gate := (select k from deploy_gate.gate k where k.name = request ->> 'gate');
	g deploy_gate.gate;
begin
	update deploy_gate.gate k
	set pass_limit = null, gap_ms = null, ttl_ms = null, max_ms = null, drain_ms = null, on_drain = null, on_expiry = null,
		grace_ms = null
	where k.name = was.name returning k.* into g;
	if was.name is not null then
		perform deploy_gate.note_settings(was, g, request);
	end if;
	outcome := 'ok';
	body := deploy_gate.settings_json(request ->> 'gate');
end $$;

-- What was changed goes into the history, and to those who wait, whom a larger limit may let in. A request done twice is told
-- of once.
create or replace function deploy_gate.note_settings(was deploy_gate.gate, g deploy_gate.gate, request jsonb) returns void
language plpgsql as $$
begin
	if was.declared is distinct from g.declared or deploy_gate.settings_sentence(was) <> deploy_gate.settings_sentence(g) then
		insert into deploy_gate.event (at, kind, gate, reason, by)
		values (deploy_gate.batch_now(), 'settings', g.name,
			concat_ws(': ', deploy_gate.settings_sentence(g), request ->> 'reason'), request ->> 'by');
		perform deploy_gate.change(array[g.name]);
	end if;
end $$;

-- gate known_only
create or replace function deploy_gate.read_settings(request jsonb, out outcome text, out body json)
language plpgsql stable as $$
begin
	body := deploy_gate.settings_json(request ->> 'gate');
	outcome := case when request ->> 'known_only' = 'true' and not (body ->> 'known')::boolean then 'not_found' else 'ok' end;
end $$;
