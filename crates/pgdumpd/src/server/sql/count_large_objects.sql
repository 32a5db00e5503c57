SELECT pg_catalog.count(*)::int8 FROM pg_catalog.pg_largeobject_metadata
