//! Every target over every seed of its folder, and no folder without a target.

use std::fs;
use std::path::Path;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");

#[test]
#[expect(clippy::print_stdout, reason = "the seed that fails is the last line before the panic")]
fn every_seed_is_survived() {
    for target in fuzz::TARGETS {
        let folder = Path::new(CORPUS).join(target.name);
        let mut seeds = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            (target.run)(&fs::read(&path).unwrap());
            seeds += 1;
        }
        assert!(seeds > 0, "{} has no seed", target.name);
        (target.run)(b"");
    }
}

#[test]
fn every_folder_has_its_target() {
    for entry in fs::read_dir(CORPUS).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(fuzz::target(&name).is_some(), "fuzz/corpus/{name} belongs to no target");
    }
}

#[test]
fn targets_are_in_order() {
    assert!(fuzz::TARGETS.is_sorted_by_key(|target| target.name));
}
