//! import-muopdb under torture, as a black box: killed before, after and inside every system call on the
//! folder that the log is to stand in. Nothing is there under its name, or all of it.

use std::path::Path;

use plugpull::{BlackBox, CrashKind, Failure, Torture};

use super::muop::write_files;

const ENTRIES: u64 = 150;

#[test]
fn an_import_that_is_killed_at_any_system_call_leaves_nothing_or_all() {
    plugpull::obey_orders(&[]);
    let src = tempfile::tempdir().unwrap();
    // Three segments' worth.
    write_files(src.path(), 0, 0, 3, ENTRIES / 3, 256);
    let script = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/cli")
            .join(name);
        format!("sh '{}'", path.display())
    };
    let program = env!("CARGO_BIN_EXE_groupwal");
    let (writer, checker) = (script("import_writer.sh"), script("import_checker.sh"));
    let src = src.path().display();
    let store = BlackBox::new(
        format!("{writer} '{program}' '{src}' {ENTRIES} {{dir}}"),
        format!("{checker} '{program}' {ENTRIES} {{dir}}"),
    );
    let torture = Torture::new(store.unwrap()).crash([CrashKind::Syscall]);
    // The first round is over before an import is.
    match torture.rounds(2).seed(1).run() {
        Ok(_) => {}
        // Where ptrace is forbidden.
        Err(Failure::Environment(why)) => eprintln!("skipped: {why}"),
        Err(failure) => panic!("{failure}"),
    }
}
