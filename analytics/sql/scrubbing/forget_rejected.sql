-- one row per record that was no event and names the person; its content goes, its position and reason stay
update rejected_records
set value = null
where value is not null and contains(hex(value), hex(encode($person)))
returning position
