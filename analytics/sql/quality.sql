-- one row per minute and topic with late events (late_events), or per check of the books (check_runs)
-- events read more than five minutes after their own time, by the minute of that time; imported history apart
create table if not exists late_events (minute timestamp not null, topic varchar not null, events bigint not null);

-- the last run of each check of the books here; `failing` are the bounds of the spans that it failed for
create table if not exists check_runs (
    name varchar not null,
    ran_at timestamp not null,
    passed_at timestamp,
    state varchar not null,
    found bigint not null,
    example varchar not null,
    cpu_ms double not null,
    failing timestamp[] not null
);
