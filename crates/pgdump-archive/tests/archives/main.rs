//! Tests on the golden archives of `tests/golden`: no server is needed.

#[cfg(test)]
mod any_input;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod encoding;
#[cfg(test)]
mod real_archives;
mod selection;
#[cfg(test)]
mod support;
