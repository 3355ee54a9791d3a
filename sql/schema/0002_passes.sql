-- What jobs that hold passes need beyond the foundation.

alter table deploy_gate.lease add column stop_at timestamptz;
comment on column deploy_gate.lease.stop_at is
	'When a deploy told the holder of this pass to end its job; 10 s later it is overrun. Of a window: when it told them';

alter table deploy_gate.lease add column inside text collate "C";
comment on column deploy_gate.lease.inside is
	'Of a pass: the live window under whose token it was taken, and which does not wait for it';

alter table deploy_gate.lease add column let_in boolean not null default false;
comment on column deploy_gate.lease.let_in is 'Of a window: whether a pass was ever taken under its token';

alter table deploy_gate.lease add column after_crash boolean not null default false;
comment on column deploy_gate.lease.after_crash is
	'Of a window: it took the place of a crashed one, and leaves its gates crashed if it ends before it has closed';

comment on table deploy_gate.lease_gate is
	'The gates of the leases that still matter, each in the role that the lease plays there: queued (ticket); a window, live or '
	'ended and still shutting (window); a pass that windows wait for and that wants the locks (pass), that is under a window''s '
	'own token there (inside), or over whose head a window closed (overrun). What is not in here is in nobody''s way';
