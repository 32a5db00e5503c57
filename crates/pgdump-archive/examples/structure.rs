//! Passes an archive from stdin to stdout, and checks its structure on the way: data is not decompressed.
//!
//! `pg_dump -Fc … | cargo run --release -p pgdump-archive --example structure >FILE`

use std::error::Error;
use std::io::{self, Read as _, Write as _};

use pgdump_archive::Parser;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    let mut parser = Parser::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = stdin.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        parser.push(&buffer[..read], &mut |_| {})?;
        stdout.write_all(&buffer[..read])?;
    }
    stdout.flush()?;
    parser.finish()?;
    Ok(())
}
