//! Header and table of contents checked by themselves.

use pgdump_archive::{HeadCheck, HeadDamage, Index, IndexingParser};

use crate::support::goldens;

fn index_of(archive: &[u8]) -> Index {
    let mut parser = IndexingParser::new();
    parser.push(archive, &mut |_| {}).unwrap();
    parser.finish().unwrap().1
}

fn check(head: &[u8], index: &Index, piece: usize) -> Result<(), HeadDamage> {
    let mut check = HeadCheck::new(index);
    for piece in head.chunks(piece) {
        check.push(piece)?;
    }
    check.finish().map(drop)
}

#[test]
fn a_whole_head_passes_and_a_changed_one_does_not_however_it_is_cut() {
    for (name, archive) in goldens() {
        let index = index_of(&archive);
        let length = usize::try_from(index.head_bytes).unwrap();
        let head = &archive[..length];
        for piece in [1, 7, 4096, length] {
            assert_eq!(check(head, &index, piece), Ok(()), "{name}");
        }
        for at in (0..length).step_by(97) {
            let mut changed = head.to_vec();
            changed[at] ^= 1;
            assert!(check(&changed, &index, 4096).is_err(), "{name}: byte {at}");
            let cut = check(&head[..at], &index, 4096);
            assert_eq!(cut, Err(HeadDamage::Truncated), "{name}: {at} bytes");
        }
    }
}

#[test]
fn a_head_that_an_index_makes_longer_or_shorter_is_found_where_it_ends() {
    for (name, archive) in goldens() {
        let index = index_of(&archive);
        let found = index.head_bytes;
        for expected in [found + 1, archive.len() as u64, u64::MAX] {
            if expected == found {
                // An archive without data ends with its table of contents.
                continue;
            }
            let mut other = index.clone();
            other.head_bytes = expected;
            let damage = HeadDamage::Length { expected, found };
            assert_eq!(check(&archive, &other, 4096), Err(damage), "{name}");
        }
        let mut other = index.clone();
        other.head_bytes = found - 1;
        let short = &archive[..usize::try_from(found - 1).unwrap()];
        assert_eq!(
            check(short, &other, 4096),
            Err(HeadDamage::Truncated),
            "{name}"
        );
    }
}
