-- What a session must find before it is used. Settings are read back, because roles, databases and proxies change them silently.
select current_setting('server_version_num')::integer as version, pg_is_in_recovery() as standby, pg_backend_pid() as pid,
	(select string_agg(name || '=' || setting, ' ' order by name collate "C") from pg_settings
	where name in ('default_transaction_isolation', 'default_transaction_read_only', 'synchronous_commit', 'statement_timeout',
		'idle_session_timeout', 'idle_in_transaction_session_timeout', 'client_connection_check_interval', 'TimeZone',
		'lock_timeout', 'search_path', 'DateStyle')) as settings,
	(select system_identifier::text from pg_control_system()) as system_identifier,
	('x' || left(case when pg_is_in_recovery() then null else pg_walfile_name(pg_current_wal_lsn()) end, 8))::bit(32)::bigint
		as timeline
