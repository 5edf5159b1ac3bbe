-- one row per id of an erased person whose erasure was ingested after a batch
select distinct subject
from every_event
where topic = $erased_topic and type = $erased_type and not repeat and batch > $batch
