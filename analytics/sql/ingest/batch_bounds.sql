-- one row: a bulk batch's latest live time, largest time-ordered id, and the bounds of ids that memory cannot tell
select
    max(time) filter (where topic <> $history) as latest,
    max(id) filter (where ordered) as newest,
    min(id) filter (where not ordered or id <= $floor) as low,
    max(id) filter (where not ordered or id <= $floor) as high
from (select id, topic, time, time_ordered(id) as ordered from raw_events where batch = $batch)
