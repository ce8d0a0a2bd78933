//! Lays a described machine out: `lay-out MACHINE.json DIR [user-edits|crlf]`.

use std::{error::Error, path::Path};

use vfio_testkit::{Description, Edits, synthetic};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (machine, dir, edits) = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [machine, dir] => (machine, dir, Edits::None),
        [machine, dir, "user-edits"] => (machine, dir, Edits::User),
        [machine, dir, "crlf"] => (machine, dir, Edits::Crlf),
        _ => return Err("lay-out MACHINE.json|NUMBER DIR [user-edits|crlf]".into()),
    };
    let machine = match machine.parse() {
        Ok(devices) => synthetic(devices),
        Err(_) => Description::read(Path::new(machine))?,
    };
    machine.lay_out_with(Path::new(dir), edits)?;
    Ok(())
}
