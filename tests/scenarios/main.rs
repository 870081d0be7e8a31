//! What is planned for what is seen: a file a case, and properties that hold for all of them.
//!
//! After a change that is meant: `UPDATE_EXPECT=1 cargo test --test scenarios`, and read the diff.

mod case;
#[path = "../desired/mod.rs"]
mod desired;
mod fleet;
mod pretend;
mod properties;

use std::path::Path;

#[test]
fn every_case_gives_its_text() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let files = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = files.filter(|path| path.extension().is_some_and(|kind| kind == "txt")).collect();
    cases.sort();
    assert!(cases.len() > 20, "only {} cases were found", cases.len());
    let differ: Vec<String> = cases.iter().filter_map(|path| case::run(path, update).err()).collect();
    let again = "if that is meant: UPDATE_EXPECT=1 cargo test --test scenarios";
    assert!(differ.is_empty(), "{}\n{} of {} differ; {again}", differ.join("\n"), differ.len(), cases.len());
}
