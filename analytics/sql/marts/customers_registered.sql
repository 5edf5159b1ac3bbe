-- one row per person who opened an account; ids are 64-bit hashes
select registered_at, customer from stg_customers_registered
