-- takes back the rows of this bulk batch that could not be read as events
delete from raw_events where batch = $batch and repeat
