-- one row per check of the books: what a row of it would be, when it last ran and passed here, and what it found
select
    c.name,
    c.says,
    coalesce(r.state, 'not run yet') as state,
    r.ran_at,
    r.passed_at,
    coalesce(r.found, 0) as found,
    coalesce(r.example, '') as example,
    r.cpu_ms
from (select unnest($check_names::varchar[]) as name, unnest($check_says::varchar[]) as says) as c
left join check_runs as r on c.name = r.name
order by c.name
