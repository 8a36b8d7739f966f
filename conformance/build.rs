//! Makes the list of the kit's profiles from the files in `profiles/`, so that a profile is only a
//! file.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=profiles");
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("profiles");
    let mut entries = Vec::new();
    for file in fs::read_dir(&folder)? {
        let path = file?.path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let name = path.file_stem().ok_or("a profile without a name")?;
        entries.push(format!("({:?}, include_str!({path:?}))", name.to_string_lossy()));
    }
    entries.sort();
    let list = Path::new(&env::var("OUT_DIR")?).join("profiles.rs");
    Ok(fs::write(list, format!("&[{}]", entries.join(",\n")))?)
}
