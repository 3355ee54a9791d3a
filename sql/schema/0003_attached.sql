-- Which event stream an attached lease belongs to.

alter table deploy_gate.lease add column stream text collate "C";
comment on column deploy_gate.lease.stream is
	'Random word of the event stream that the lease is attached to; what happens to any other stream means nothing to it';
