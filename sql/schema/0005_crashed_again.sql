-- A rollback that gives up leaves crashed what had crashed before, and nothing else.

alter table deploy_gate.lease drop column after_crash, add column replaced text[] collate "C";
comment on column deploy_gate.lease.replaced is
	'Of a window: the crashed ones whose place it took, and which are crashed again if it ends before it has closed';
