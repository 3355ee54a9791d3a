-- Who waits at a gate, over all replicas.

-- The jobs at the gate and below it. Each replica tells once a second who waits there, by gate: {"count": …, "alone": those that
-- wait for no other gate, "jobs": the oldest 100, [{"id": …, "holder": …, "job": …, "since": …, "others": true}]}; an id is that
-- of the lease of a pass, or of the request of a wait. The count of "*" is that of all who wait there. Of those listed, one that asked at two replicas counts once, a pass that
-- has its lease not at all; and nobody waits for an open gate alone.
create or replace function deploy_gate.waiting_jobs_json(name text, at timestamptz, is_open boolean) returns json
language plpgsql stable as $$
begin
	return (
		with told as (
			select w.value as v, w.key = $1 and is_open as opens
			from deploy_gate.session s, jsonb_each(s.waiting) w
			where s.ended_at is null and s.role = 'locks' and s.stamped_at > at - interval '5 s'
				and (w.key = $1 or starts_with(w.key, $1 || '.'))
		), listed as (
			select j, j ->> 'since' as since, (select l.id from deploy_gate.lease l where l.id = j ->> 'id') is null
				and row_number() over (partition by j ->> 'id', j ->> 'holder' order by j ->> 'since') = 1 as waits
			from told, jsonb_array_elements(told.v -> 'jobs') j
			where not told.opens or j ? 'others'
		)
		select json_build_object(
			'count', coalesce(sum((v ->> 'count')::bigint - case when opens then (v ->> 'alone')::bigint else 0 end), 0)
				- (select count(*) from listed where not waits),
			'oldest', coalesce((
				select json_agg(json_build_object('holder', j -> 'holder', 'job', j -> 'job', 'since', since,
					'since_ago_ms', greatest(deploy_gate.ms_between(since::timestamptz, at), 0)) order by since)
				from (select * from listed where waits order by since limit 100) oldest), '[]'))
		from told);
end $$;

create or replace function deploy_gate.waiting_json(name text, at timestamptz, is_open boolean) returns json
language plpgsql stable as $$
begin
	return json_build_object(
		'jobs', deploy_gate.waiting_jobs_json(name, at, is_open),
		'deploys', coalesce((
			select json_agg(json_build_object('id', l.id, 'number', l.number, 'gates', l.gates, 'holder', l.holder,
				'reason', l.reason, 'since', deploy_gate.rfc3339(l.created_at),
				'since_ago_ms', deploy_gate.ms_between(l.created_at, at),
				'waiting_ms', deploy_gate.ms_between(l.created_at, at)) order by l.number)
			from deploy_gate.lease l
			where l.id = any (array(select b from deploy_gate.in_the_way(array[name], 'ticket') b))), '[]'));
end $$;
