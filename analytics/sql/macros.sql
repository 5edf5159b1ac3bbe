-- whether an id has the form of a UUIDv7, which sorts by the millisecond in which it was made
create or replace macro time_ordered(id) as length(id) = 36 and substr(id, 15, 1) = '7';

-- an id in 64 bits: of a time-ordered one its first half, which sorts by time too, so that of a large table only the
-- part of its time is read; of any other its hash. Two ids may share one.
create or replace macro order_key(id) as
    coalesce(try_cast('0x' || substr(id, 1, 8) || substr(id, 10, 4) || substr(id, 15, 4) as ubigint), hash(id));

-- whether an event may be about an order: its subject is not by contract something else
create or replace macro about_an_order(type, subject) as subject is not null
    and not starts_with(type, 'shop.behaviour.') and not starts_with(type, 'shop.customer.')
    and not starts_with(type, 'shop.product.') and not starts_with(type, 'ops.stack.')
    and not starts_with(type, 'shop.stock.level-changed.') and not starts_with(type, 'shop.stock.received.')
    and not starts_with(type, 'shop.history.past-minute.');

-- in which part of a day's archive a raw row is kept: those that a journey may need are apart from the many others
create or replace macro archive_part(type, subject, correlation_id) as
    case when correlation_id is not null or about_an_order(type, subject) then 'orders' else 'rest' end;
