-- one row: the last run of a check, in place of the one before
insert into check_runs values ($name, $ran_at, $passed_at, $state, $found, $example, $cpu_ms, $failing::timestamp[])
