//! What an entry is to the others, by its description: pg_dump's own names of its objects.

use crate::TocEntry;

/// Whether every archive needs it: what the texts in it are encoded in and how they are read.
pub(super) fn is_setting(entry: &TocEntry) -> bool {
    matches!(text(entry), "ENCODING" | "STDSTRINGS" | "SEARCHPATH")
}

/// Whether it only says something of the object that it depends on.
pub(super) fn is_note(entry: &TocEntry) -> bool {
    matches!(text(entry), "COMMENT" | "SECURITY LABEL" | "ACL")
}

/// Whether it has a text that PostgreSQL does not parse.
pub(super) fn has_text(entry: &TocEntry) -> bool {
    matches!(text(entry), "FUNCTION" | "PROCEDURE")
}

/// Whether its text names what it needs, each name with its schema, and pg_dump says nothing of that: the index behind
/// a key or an exclusion, an operator's commutator and negator.
pub(super) fn names_its_needs(entry: &TocEntry) -> bool {
    matches!(text(entry), "CONSTRAINT" | "OPERATOR")
}

/// Whether each name in its text is that of an object, with its schema; those that it needs are recorded.
pub(super) fn is_read_for_names(entry: &TocEntry) -> bool {
    matches!(
        text(entry),
        "TABLE" | "DOMAIN" | "DEFAULT" | "INDEX" | "CHECK CONSTRAINT"
    )
}

/// Whether it has an expression, in which a text may be a name.
pub(super) fn has_constants(entry: &TocEntry) -> bool {
    is_read_for_names(entry)
        || matches!(
            text(entry),
            "CONSTRAINT" | "STATISTICS" | "POLICY" | "VIEW" | "MATERIALIZED VIEW" | "RULE"
        )
}

/// Whether it converts values of one type to another.
pub(super) fn is_cast(entry: &TocEntry) -> bool {
    text(entry) == "CAST"
}

/// Whether it may compare values by the default operator class of their type, without a record of that.
pub(super) fn compares(entry: &TocEntry) -> bool {
    matches!(
        text(entry),
        "FUNCTION" | "PROCEDURE" | "VIEW" | "MATERIALIZED VIEW" | "STATISTICS"
    )
}

/// Whether there are values in it, whose types its text names.
pub(super) fn has_values(entry: &TocEntry) -> bool {
    is_type(entry) || has_text(entry)
}

/// Whether it is a type, or has one of its rows.
pub(super) fn is_type(entry: &TocEntry) -> bool {
    matches!(text(entry), "TYPE" | "DOMAIN") || is_relation(entry)
}

/// Whether it comes along as soon as everything is there that it depends on. An expression that
/// uses a cast depends on the cast's function alone.
pub(super) fn joins(entry: &TocEntry) -> bool {
    matches!(text(entry), "CAST" | "TABLE ATTACH" | "INDEX ATTACH")
}

/// Whether `part` comes along with `whole`, on which it depends.
pub(super) fn belongs(part: &TocEntry, whole: &TocEntry) -> bool {
    match text(part) {
        _ if is_note(part) => true,
        "SEQUENCE OWNED BY" | "SEQUENCE SET" | "ROW SECURITY" => true,
        // Of a table: the sequence is owned by a column of it, or is its identity.
        "SEQUENCE" | "INDEX" | "STATISTICS" => is_relation(whole),
        // What turns a dummy into the view that it stands for.
        "RULE" => is_query_of(part, whole),
        _ => is_part(part) && part_of(part, whole).is_some(),
    }
}

/// Whether it is a part of a table or of a domain, and named by it.
pub(super) fn is_part(entry: &TocEntry) -> bool {
    matches!(text(entry), "DEFAULT" | "POLICY") || text(entry).ends_with("CONSTRAINT")
}

/// Whether it never comes along, whatever depends on it. Of rules this is not said.
pub(super) fn is_left_out(entry: &TocEntry) -> bool {
    let description = text(entry);
    match description {
        "FK CONSTRAINT" | "TRIGGER" | "EVENT TRIGGER" => true,
        "MATERIALIZED VIEW DATA" | "BLOBS" => true,
        "DATABASE" | "DATABASE PROPERTIES" | "DEFAULT ACL" | "USER MAPPING" => true,
        _ => description.starts_with("PUBLICATION") || description.starts_with("SUBSCRIPTION"),
    }
}

/// The part's own name, if `whole` is what it is part of: pg_dump names a constraint, a default, a
/// policy, a rule and a trigger by their table's (or domain's) name and their own.
pub(super) fn part_of<'a>(part: &'a TocEntry, whole: &TocEntry) -> Option<&'a [u8]> {
    let own = part.tag.as_bytes().strip_prefix(whole.tag.as_bytes())?;
    let own = own.strip_prefix(b" ")?;
    (part.schema == whole.schema && (is_relation(whole) || text(whole) == "DOMAIN")).then_some(own)
}

/// Whether both are named alike: a table and its data, a partition and its attachment.
pub(super) fn same_name(one: &TocEntry, other: &TocEntry) -> bool {
    (&one.schema, &one.tag) == (&other.schema, &other.tag)
}

/// Whether it is a relation with columns.
pub(super) fn is_relation(entry: &TocEntry) -> bool {
    matches!(
        text(entry),
        "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW"
    )
}

/// Whether the rule is the query of this view, which was written as a dummy before.
pub(super) fn is_query_of(rule: &TocEntry, view: &TocEntry) -> bool {
    text(rule) == "RULE" && is_view(view) && part_of(rule, view) == Some(&b"_RETURN"[..])
}

/// Whether its rows are those of a query.
pub(super) fn is_view(entry: &TocEntry) -> bool {
    matches!(text(entry), "VIEW" | "MATERIALIZED VIEW")
}

/// The description; pg_dump's are all ASCII.
pub(super) fn text(entry: &TocEntry) -> &str {
    entry.description.as_str().unwrap_or_default()
}
