-- Comes first, in the transaction of all functions: what only the service itself calls is made anew, for another release may have
-- declared it otherwise, and what no release calls any more is to go. What others may call stays, with its grants.

do $$
declare
	own regprocedure;
begin
	for own in
		select p.oid from pg_proc p
		where p.pronamespace = 'deploy_gate'::regnamespace
			and not exists (select from aclexplode(p.proacl) granted where granted.grantee <> p.proowner)
	loop
		execute 'drop routine ' || own;
	end loop;
end $$;
