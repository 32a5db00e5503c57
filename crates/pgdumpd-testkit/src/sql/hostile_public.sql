CREATE FUNCTION public.hostile(what text) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'public.% was called as %', what, current_user; END $$;
-- An exact match beats a polymorphic or a converting one of pg_catalog.
CREATE FUNCTION public.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.hostile('unnest'); END $$;
CREATE FUNCTION public.unnest(uuid[]) RETURNS SETOF uuid LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.hostile('unnest'); END $$;
CREATE FUNCTION public.power(integer, integer) RETURNS double precision LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.hostile('power'); RETURN 1; END $$;
CREATE FUNCTION public.make_interval(secs double precision) RETURNS interval LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.hostile('make_interval'); RETURN NULL; END $$;
CREATE FUNCTION public.format(text, smallint, smallint) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.hostile('format'); RETURN NULL; END $$;
CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.hostile('format'); RETURN NULL; END $$;
CREATE FUNCTION public.generate_series(integer, integer) RETURNS SETOF integer LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.hostile('generate_series'); END $$;
CREATE FUNCTION public.count(uuid) RETURNS bigint LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.hostile('count'); RETURN 0; END $$;
CREATE FUNCTION public.to_char(interval, text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.hostile('to_char'); RETURN NULL; END $$;
CREATE FUNCTION public.glue(text, smallint) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.hostile('||'); RETURN NULL; END $$;
CREATE OPERATOR public.|| (leftarg = text, rightarg = smallint, function = public.glue);
CREATE FUNCTION public.glue(text, integer) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.hostile('||'); RETURN NULL; END $$;
CREATE OPERATOR public.|| (leftarg = text, rightarg = integer, function = public.glue);
CREATE FUNCTION public.same(text, text) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.hostile('='); RETURN true; END $$;
CREATE OPERATOR public.=== (leftarg = text, rightarg = text, function = public.same);
-- What some databases have because PostgreSQL 8.3 took these casts away: with them `||` is ambiguous. No search path helps.
CREATE CAST (smallint AS text) WITH INOUT AS IMPLICIT;
CREATE CAST (integer AS text) WITH INOUT AS IMPLICIT;
CREATE CAST (bigint AS text) WITH INOUT AS IMPLICIT;
CREATE CAST (oid AS text) WITH INOUT AS IMPLICIT;
CREATE CAST (double precision AS text) WITH INOUT AS IMPLICIT;
CREATE CAST (numeric AS text) WITH INOUT AS IMPLICIT;
CREATE CAST (date AS text) WITH INOUT AS IMPLICIT;
CREATE CAST (timestamptz AS text) WITH INOUT AS IMPLICIT;
CREATE CAST (interval AS text) WITH INOUT AS IMPLICIT;
CREATE CAST (uuid AS text) WITH INOUT AS IMPLICIT;
-- And for whoever may use it: every role.
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
