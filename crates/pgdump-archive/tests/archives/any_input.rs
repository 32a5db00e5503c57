//! Properties that hold for any input and any cut of it.

use std::sync::LazyLock;

use crate::support::{goldens, head, read};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::{prop_assert, prop_assert_eq, proptest};

static GOLDENS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| goldens().into_iter().map(|(_, archive)| archive).collect());

fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

#[derive(Debug, Clone)]
enum Damage {
    Set(Index, u8),
    Int(Index, [u8; 5]),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Repeat(Index, usize),
    Cut(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    let sign = prop_oneof![Just(0), Just(1), any::<u8>()];
    let size = select(vec![
        0,
        1,
        0x7f,
        0xff,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff_u32,
    ]);
    let int = (sign, size).prop_map(|(sign, size)| {
        let [a, b, c, d] = size.to_le_bytes();
        [sign, a, b, c, d]
    });
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), int).prop_map(|(at, int)| Damage::Int(at, int)),
        (at(), 1..50_usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        (at(), vec(any::<u8>(), 1..50)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (at(), 1..5000_usize).prop_map(|(at, count)| Damage::Repeat(at, count)),
        at().prop_map(Damage::Cut),
    ]
}

impl Damage {
    /// Damages `bytes` before `end`.
    fn apply(&self, bytes: &mut Vec<u8>, end: usize) {
        let place = |at: &Index| at.index(end.min(bytes.len()).max(1));
        match self {
            Self::Set(at, byte) => {
                let at = place(at);
                bytes[at..].iter_mut().take(1).for_each(|old| *old = *byte);
            }
            Self::Int(at, int) => {
                let at = place(at);
                bytes[at..]
                    .iter_mut()
                    .zip(int)
                    .for_each(|(old, new)| *old = *new);
            }
            Self::Remove(at, count) => {
                let at = place(at);
                bytes.drain(at..bytes.len().min(at + count));
            }
            Self::Insert(at, new) => {
                let at = place(at);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Repeat(at, count) => {
                let at = place(at);
                let copy = bytes[at..bytes.len().min(at + count)].to_vec();
                bytes.splice(at..at, copy);
            }
            Self::Cut(at) => bytes.truncate(place(at)),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
}

proptest! {
    #[test]
    fn any_split_of_the_input_gives_the_same_events(
        golden in any::<Index>(),
        cuts in vec(any::<Index>(), 0..200),
    ) {
        let archive = golden.get(&GOLDENS);
        let (whole, proof) = read([&archive[..]]);
        let (split, split_proof) = read(pieces(archive, &cuts));
        prop_assert!(proof.is_ok());
        prop_assert_eq!(proof, split_proof);
        prop_assert!(whole == split, "the events differ");
    }

    #[test]
    fn a_damaged_archive_never_panics_and_gives_the_same_in_any_split(
        golden in any::<Index>(),
        damages in vec(damage(), 1..4),
        in_head in any::<bool>(),
        cuts in vec(any::<Index>(), 0..50),
    ) {
        let mut archive = golden.get(&GOLDENS).clone();
        let end = if in_head { head(&archive).2 } else { archive.len() };
        damages.iter().for_each(|damage| damage.apply(&mut archive, end));
        let (whole, result) = read([&archive[..]]);
        let (split, split_result) = read(pieces(&archive, &cuts));
        prop_assert_eq!(result, split_result);
        prop_assert!(whole == split, "the events differ");
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        minor in 12..=16_u8,
        is_archive in any::<bool>(),
        bytes in vec(prop_oneof![Just(0_u8), Just(1), 0..8_u8, any::<u8>()], 0..2000),
    ) {
        let start = [b'P', b'G', b'D', b'M', b'P', 1, minor, 0, 4, 8, 1];
        let start = if is_archive { &start[..] } else { &[] };
        let whole = [start, &bytes].concat();
        let (_, result) = read([&whole[..]]);
        let (_, byte_by_byte) = read(whole.chunks(1));
        prop_assert!(result.is_err());
        prop_assert_eq!(result, byte_by_byte);
    }
}

#[test]
fn one_byte_at_a_time_gives_the_same_events() {
    for archive in GOLDENS.iter() {
        assert!(read([&archive[..]]) == read(archive.chunks(1)));
    }
}
