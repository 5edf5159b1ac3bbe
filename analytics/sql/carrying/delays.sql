-- one row per minute and bucket: when each event was committed is known to the old warehouse alone
insert into delay_buckets select minute, bucket, events from old.delay_buckets
