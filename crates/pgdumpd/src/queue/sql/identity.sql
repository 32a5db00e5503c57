-- The queue's id, and where it lives as the server sees it (a socket has no address).
SELECT q.id, current_database()::text AS database, host(inet_server_addr()) AS host, inet_server_port() AS port,
       current_setting('port') AS socket_port
FROM pgdumpd.queue AS q
