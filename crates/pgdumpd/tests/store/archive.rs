//! Archives in pg_dump's custom format 1.14, made by hand, so that a test knows every byte.

/// A small archive with these tables, each with this many rows of this many bytes.
pub(crate) fn archive(tables: &[(&str, usize, usize)]) -> Vec<u8> {
    let mut bytes = head(14, tables);
    for (at, (_, rows, size)) in tables.iter().enumerate() {
        block_start(&mut bytes, at);
        for row in 0..*rows {
            int(&mut bytes, i32::try_from(*size).unwrap());
            bytes.extend((1..*size).map(|at| value(row + at)));
            bytes.extend((*size > 0).then_some(b'\n'));
        }
        block_end(&mut bytes);
    }
    bytes
}

/// Header and table of contents of version 1.`minor`.
pub(crate) fn head(minor: u8, tables: &[(&str, usize, usize)]) -> Vec<u8> {
    let mut bytes = b"PGDMP".to_vec();
    bytes.extend([1, minor, 0, 4, 8, 1]);
    // No compression, then seconds to is_dst of the time it was made.
    for number in [0, 5, 0, 20, 23, 10, 126, 0] {
        int(&mut bytes, number);
    }
    for name in ["orders", "15.19", "15.19"] {
        text(&mut bytes, name);
    }
    int(&mut bytes, i32::try_from(tables.len()).unwrap());
    for (at, (name, ..)) in tables.iter().enumerate() {
        entry(&mut bytes, at, name);
    }
    bytes
}

pub(crate) fn block_start(bytes: &mut Vec<u8>, table: usize) {
    bytes.push(1);
    int(bytes, dump_id(table));
}

/// What COPY ends its data with, and the end of the block.
pub(crate) fn block_end(bytes: &mut Vec<u8>) {
    let end = b"\\.\n\n\n";
    int(bytes, i32::try_from(end.len()).unwrap());
    bytes.extend(end);
    int(bytes, 0);
}

/// Any byte that stands for itself in COPY data.
fn value(number: usize) -> u8 {
    match u8::try_from(number % 251).unwrap() {
        b'\n' | b'\t' | b'\\' => b'x',
        byte => byte,
    }
}

fn dump_id(table: usize) -> i32 {
    100 + i32::try_from(table).unwrap()
}

fn entry(bytes: &mut Vec<u8>, at: usize, name: &str) {
    int(bytes, dump_id(at));
    int(bytes, 1);
    let oid = (16384 + at).to_string();
    for field in ["1259", &oid, name, "TABLE DATA"] {
        text(bytes, field);
    }
    int(bytes, 3);
    for field in [
        "",
        "",
        "COPY FROM stdin;",
        "app",
        "",
        "",
        "postgres",
        "false",
    ] {
        text(bytes, field);
    }
    // No dependencies; the place of the data is not known.
    int(bytes, -1);
    bytes.push(1);
    bytes.extend([0; 8]);
}

fn text(bytes: &mut Vec<u8>, value: &str) {
    int(bytes, i32::try_from(value.len()).unwrap());
    bytes.extend(value.as_bytes());
}

fn int(bytes: &mut Vec<u8>, value: i32) {
    bytes.push(u8::from(value < 0));
    bytes.extend(value.unsigned_abs().to_le_bytes());
}
