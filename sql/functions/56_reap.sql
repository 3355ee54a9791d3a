-- Reaping: what is too old, or all there is, is ended by a person, with a reason.

-- kind gates older_than_ms (absent: all) reason by; before, where an earlier piece of the same request said it. Ends the live
-- windows and passes that were made longer ago than that, strictly, oldest first. Not those who stand in line, who hold nothing
-- and lapse by themselves once nobody asks for them; nor what ended before, as crashed windows did.
-- A piece at a time: leases are those that this one ended, and before, where there are more, is what the next one is to be asked
-- with.
create or replace function deploy_gate.change_reap(request jsonb, out outcome text, out body json)
language plpgsql as $$
declare
	most constant bigint := 100;
	at timestamptz := deploy_gate.batch_now();
	before timestamptz := coalesce((request ->> 'before')::timestamptz,
		at - deploy_gate.ms(coalesce((request ->> 'older_than_ms')::bigint, 0)));
	told json[] := '{}';
	piece deploy_gate.lease[];
	l deploy_gate.lease;
begin
	piece := array(select x from deploy_gate.reapable(request, before, at) x order by x.created_at, x.id limit most + 1);
	foreach l in array piece[:most] loop
		l := deploy_gate.end_lease(l, 'reaped', request ->> 'by', request ->> 'reason');
		perform deploy_gate.change(l.gates);
		told := told || deploy_gate.lease_json(l, at);
	end loop;
	outcome := 'ok';
	body := json_build_object('leases', told, 'before', case when cardinality(piece) > most then before::text end);
end $$;

-- What lies in the future does so because the clock was stepped back: it is none too old, but it is some of all.
create or replace function deploy_gate.reapable(request jsonb, before timestamptz, at timestamptz) returns setof deploy_gate.lease
language plpgsql stable as $$
begin
	return query
		select l.* from deploy_gate.leases_that_matter() l
		where l.ended_at is null and l.state <> 'queued' and l.kind = coalesce(request ->> 'kind', l.kind)
			and (l.created_at < before or l.created_at > at and not request ? 'older_than_ms')
			and (not request ? 'gates' or exists (
				select from unnest(l.gates) own, jsonb_array_elements_text(request -> 'gates') above
				where own = above or starts_with(own, above || '.')));
end $$;
