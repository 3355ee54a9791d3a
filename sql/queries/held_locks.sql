-- The account, read again where it is in doubt: advisory locks do not roll back with the transaction that took them.
-- The proof of life of this session is its own and stays out of it.
select (classid::bigint << 32) | objid::bigint as key, case mode when 'ExclusiveLock' then 'x' else 's' end as mode
from pg_locks
where locktype = 'advisory' and objsubid = 1 and granted and pid = pg_backend_pid()
	and database = (select oid from pg_database where datname = current_database())
	and (classid::bigint << 32) | objid::bigint <> deploy_gate.prefixed_key('deploy_gate-session:', :'me'::bigint::text)
