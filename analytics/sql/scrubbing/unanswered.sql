-- one row per id of an erased person for which analytics has not answered yet
select e.subject, e.data ->> 'erasure_id' as erasure_id, e.id
from every_event e
where e.topic = $erased_topic
  and e.type = $erased_type
  and not e.repeat
  and not exists (
      select 1
      from every_event s
      where s.topic = $answer_topic
        and s.type = $answer_type
        and s.source = $source
        and s.subject = e.subject
        and s.correlation_id = e.data ->> 'erasure_id'
  )
