-- Who is in the way of a probe that failed: somebody outside the service, with the facts of the gate, or null.
select case when facts ->> 'state' not in ('open', 'full') then facts end as facts
from unnest(:'gates'::text[]) with ordinality g (gate, place), deploy_gate.gate_json(g.gate, clock_timestamp()) facts
order by place
