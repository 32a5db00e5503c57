//! Tests on the golden archives of `tests/golden`: no server is needed.

#[cfg(test)]
mod any_input;
#[cfg(test)]
mod block_checks;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod decoding;
#[cfg(test)]
mod encoding;
#[cfg(test)]
mod head_checks;
#[cfg(test)]
mod real_archives;
#[cfg(test)]
mod recompression;
mod selection;
#[cfg(test)]
mod support;
