-- one row: the bytes in use in the database's file
select used_blocks * block_size as bytes from pragma_database_size() where database_name = current_database()
