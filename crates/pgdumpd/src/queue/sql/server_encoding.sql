-- In what the database can write names that come from other databases.
SELECT current_setting('server_encoding') AS encoding
