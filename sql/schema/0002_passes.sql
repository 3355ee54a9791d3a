-- What jobs that hold passes need beyond the foundation.

alter table deploy_gate.lease add column stop_at timestamptz;
comment on column deploy_gate.lease.stop_at is 'When a deploy told the holder of this pass to end its job; 10 s later it is overrun';
