-- Who may call what: nobody but the owner anything, save what is named here. Comes last, in the transaction of all functions.
-- What was granted to single roles, as force_open may be, stays.

revoke execute on all routines in schema deploy_gate from public;

grant execute on function deploy_gate.key(text), deploy_gate.prefixed_key(text, text), deploy_gate.is_open(text),
	deploy_gate.open_here(text), deploy_gate.leave(text), deploy_gate.assert_fence(text, bigint) to public;
grant execute on procedure deploy_gate.wait_open(text, interval), deploy_gate.close_here(text, text, interval),
	deploy_gate.enter(text, interval) to public;

-- What the procedures, which run as their caller, and the views call.
grant execute on function deploy_gate.deadline(interval), deploy_gate.pause(integer, timestamptz),
	deploy_gate.give_up(text, timestamptz, boolean), deploy_gate.tell_client(text, timestamptz, boolean),
	deploy_gate.notice_lost_client(), deploy_gate.try_close(text, timestamptz, timestamptz), deploy_gate.try_enter(text),
	deploy_gate.keys_above(text), deploy_gate.keys_shared_by_deploy(text), deploy_gate.show_deploy(text, text),
	deploy_gate.keep(bigint, bigint[], boolean), deploy_gate.locks_on_gates(), deploy_gate.status_of_gates() to public;

grant select on deploy_gate.status, deploy_gate.locks to public;
