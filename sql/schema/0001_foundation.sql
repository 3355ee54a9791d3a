-- The tables. Rows are the truth about leases; the advisory locks are held to match them.
-- Each migration is one transaction; the runner adds begin, the migration lock and commit.

create schema deploy_gate;
comment on schema deploy_gate is 'deploy-gate: keeps batch jobs from running while a deploy changes the code under them';
grant usage on schema deploy_gate to public;

create table deploy_gate.schema_version (
	version integer primary key,
	applied_at timestamptz not null default clock_timestamp(),
	applied_by text not null
);
comment on table deploy_gate.schema_version is 'The migrations that have been applied, and by which release';

create table deploy_gate.functions_version (
	one boolean primary key default true check (one),
	release integer not null,
	digest text not null,
	applied_at timestamptz not null default clock_timestamp()
);
comment on table deploy_gate.functions_version is 'The release whose functions are installed; only a newer one replaces them';

create table deploy_gate.service (
	one boolean primary key default true check (one),
	system_identifier text not null,
	timeline bigint not null,
	stamped_at timestamptz not null,
	serving_since timestamptz not null
) with (fillfactor = 20);
comment on table deploy_gate.service is 'One row, locked by begin: of all replicas only one batch is decided at a time';
comment on column deploy_gate.service.stamped_at is 'When a batch was last decided, to 500 ms; a gap of over 5 s is an outage';
comment on column deploy_gate.service.serving_since is 'The end of the last outage';

create table deploy_gate.session (
	number bigint generated always as identity primary key,
	role text not null check (role in ('locks', 'reads', 'listen')),
	replica text collate "C" not null,
	name text not null,
	version text not null,
	host text not null,
	pid integer not null,
	backend_start timestamptz not null,
	since timestamptz not null default clock_timestamp(),
	stamped_at timestamptz not null default clock_timestamp(),
	waiting jsonb not null default '{}',
	ended_at timestamptz,
	end_reason text
) with (fillfactor = 20);
comment on table deploy_gate.session is 'Every PostgreSQL session of every replica; the locks session is the replica''s identity';
comment on column deploy_gate.session.replica is 'Random word of the process, the same in its three sessions';
comment on column deploy_gate.session.name is 'Name of the replica from its settings: a restarted one supersedes its predecessor of the same name';
comment on column deploy_gate.session.waiting is 'Jobs that wait at this replica, by gate: {"count": …, "jobs": [{"holder": …, "job": …, "since": …}]}';
create index session_working on deploy_gate.session (role, pid) where ended_at is null;

create table deploy_gate.gate (
	name text collate "C" primary key,
	declared boolean not null default false,
	created_at timestamptz not null default clock_timestamp(),
	fence bigint,
	freed_at timestamptz,
	gap_until timestamptz,
	typical_ms bigint,
	pass_limit integer check (pass_limit > 0),
	gap_ms bigint,
	ttl_ms bigint,
	max_ms bigint,
	drain_ms bigint,
	on_drain text check (on_drain in ('abort', 'proceed', 'stop')),
	on_expiry text check (on_expiry in ('open', 'hold')),
	grace_ms bigint
) with (fillfactor = 50);
comment on table deploy_gate.gate is 'Gates that were ever closed or declared, with their settings';
comment on column deploy_gate.gate.fence is 'Fence of the last window over the gate';
comment on column deploy_gate.gate.freed_at is 'When the last window over the gate ended: tickets that have not asked 1 s later are passed over';
comment on column deploy_gate.gate.gap_until is 'Until then nothing closes the gate, so that jobs that waited get in between two windows';
comment on column deploy_gate.gate.typical_ms is 'Running mean of how long windows stay closed, for eta_ms';

create sequence deploy_gate.fence;
comment on sequence deploy_gate.fence is 'Drawn only under the lock of the service row: fences grow in the order of the grants';
create sequence deploy_gate.ticket_number;
comment on sequence deploy_gate.ticket_number is 'Places in the queue';

-- Few constraints stand on the two tables that every change writes: PostgreSQL reads each anew for each statement, and only the
-- functions of this schema write here.
-- A ticket is a window in state queued: it becomes the window by a change of state, and goes back with its number.
create table deploy_gate.lease (
	id text collate "C" primary key,
	digest text not null,
	kind text not null,
	state text not null,
	gates text[] not null,
	holder text,
	reason text,
	release text,
	url text,
	job text,
	number bigint,
	fence bigint,
	ttl_ms bigint not null,
	max_ms bigint,
	drain_ms bigint,
	on_drain text,
	on_expiry text not null default 'open',
	grace_ms bigint not null default 0,
	created_at timestamptz not null,
	wait_until timestamptz,
	closed_at timestamptz,
	expires_at timestamptz,
	max_at timestamptz,
	drain_until timestamptz,
	session bigint,
	locked boolean not null default false,
	blocked_at timestamptz,
	external jsonb,
	claim_session bigint,
	claim_request bigint,
	unclaimed_at timestamptz,
	answered boolean not null default false,
	attached boolean not null default false,
	was_attached boolean not null default false,
	contested boolean not null default false,
	overrun boolean not null default false,
	jobs_waited boolean not null default false,
	ended_at timestamptz,
	ending text,
	ended_by text,
	end_reason text,
	aftermath text,
	opens_at timestamptz,
	check ((state = 'ended') = (ended_at is not null) and (ended_at is null) = (ending is null))
) with (fillfactor = 50);
comment on table deploy_gate.lease is 'One row a lease: live until it says ended_at, and by nothing else';
comment on column deploy_gate.lease.kind is 'window or pass';
comment on column deploy_gate.lease.state is 'queued, draining, closed, inside or ended';
comment on column deploy_gate.lease.ending is
	'opened, released, expired, forced, reaped, drain_timeout, abandoned, taken_over or failed';
comment on column deploy_gate.lease.id is 'The first 32 hex digits of the token''s SHA-256; public';
comment on column deploy_gate.lease.digest is 'SHA-256 of the token in hex; the token itself never gets here';
comment on column deploy_gate.lease.number is 'Place in the queue, kept when the ticket is passed over or comes back';
comment on column deploy_gate.lease.expires_at is 'Null until the window is closed; compared with a clock by tick alone';
comment on column deploy_gate.lease.session is 'Owner: the locks session that holds, or is to hold, the locks';
comment on column deploy_gate.lease.locked is 'Whether the owner holds all of them; written by the owner alone';
comment on column deploy_gate.lease.blocked_at is 'When somebody outside was first seen in the way of a lock';
comment on column deploy_gate.lease.external is 'Who that was: [{"pid": …, "user": …, "application_name": …, "mode": …}]';
comment on column deploy_gate.lease.claim_session is 'With claim_request: the request that answers for this lease now';
comment on column deploy_gate.lease.aftermath is 'Why an ended window still shuts its gates: grace (until opens_at) or crashed (until somebody takes over)';
create index lease_due on deploy_gate.lease (expires_at) where expires_at is not null and ended_at is null;
create index lease_opening on deploy_gate.lease (opens_at) where opens_at is not null;
create index lease_unclaimed on deploy_gate.lease (unclaimed_at) where unclaimed_at is not null;
create index lease_ended on deploy_gate.lease (ended_at) where ended_at is not null;

create table deploy_gate.lease_gate (
	lease text collate "C" not null,
	gate text collate "C" not null,
	role text not null,
	key bigint not null,
	ancestor_keys bigint[] not null,
	primary key (lease, gate)
);
comment on table deploy_gate.lease_gate is
	'The gates of the leases that still matter: queued (role ticket), live, or ended and still shutting (window, pass). '
	'What is not in here is in nobody''s way';
create index lease_gate_gate on deploy_gate.lease_gate (gate, role);

create table deploy_gate.event (
	id bigint generated always as identity primary key,
	at timestamptz not null,
	kind text not null,
	gate text collate "C",
	lease text collate "C",
	holder text,
	reason text,
	by text
);
comment on table deploy_gate.event is 'Append-only, one row a gate: audit trail, history and outbox in one; ids in the order of commit';
create index event_gate on deploy_gate.event (gate, id);

create table deploy_gate.request (
	id bigint generated always as identity primary key,
	kind text not null check (kind in ('force_open')),
	gate text collate "C" not null,
	lease text collate "C" not null,
	reason text not null,
	by text not null,
	at timestamptz not null default clock_timestamp(),
	done_at timestamptz,
	outcome text
);
comment on table deploy_gate.request is 'What SQL users ask of the service; carried out by the next tick';
create index request_open on deploy_gate.request (id) where done_at is null;
