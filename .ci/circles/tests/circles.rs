//! Small trees, and what is said about them.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

/// A package of these files.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    let manifest = "[package]\nname = \"small\"\nedition = \"2024\"\n";
    for (name, text) in [("Cargo.toml", manifest)].iter().chain(files) {
        let path = dir.path().join(name);
        let folder = path.parent().expect("it is in the directory");
        fs::create_dir_all(folder).expect("made");
        fs::write(path, text).expect("written");
    }
    dir
}

/// The exit status, and what is printed.
fn check(files: &[(&str, &str)]) -> (Option<i32>, String) {
    let dir = tree(files);
    let checker = Command::new(env!("CARGO_BIN_EXE_circles"))
        .arg(dir.path())
        .output()
        .expect("it can be run");
    let printed = [checker.stdout, checker.stderr].concat();
    let printed = String::from_utf8(printed).expect("text");
    (checker.status.code(), printed)
}

#[track_caller]
fn assert_free(files: &[(&str, &str)]) {
    let (status, printed) = check(files);
    assert_eq!((status, &*printed), (Some(0), ""));
}

/// The only circle has exactly these imports.
#[track_caller]
fn assert_circle(files: &[(&str, &str)], imports: &[&str]) {
    let (status, printed) = check(files);
    assert_eq!(status, Some(1), "{printed}");
    let found = printed.lines().filter(|line| line.contains(" -> "));
    let found: Vec<&str> = found.map(str::trim).collect();
    assert_eq!(found, imports, "{printed}");
}

#[test]
fn two_files_that_use_each_other() {
    assert_circle(
        &[
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "use crate::b::B; pub struct A(B);"),
            ("src/b.rs", "use super::a::A; pub struct B(Box<A>);"),
        ],
        &["src/a.rs -> src/b.rs: B", "src/b.rs -> src/a.rs: A"],
    );
}

#[test]
fn imports_in_one_direction() {
    assert_free(&[
        ("src/lib.rs", "mod a; mod b; pub use a::A;"),
        (
            "src/a.rs",
            "use crate::b::{self, B}; pub struct A(B, b::Other);",
        ),
        ("src/b.rs", "pub struct B; pub struct Other;"),
    ]);
}

#[test]
fn three_files_through_a_face() {
    assert_circle(
        &[
            ("src/lib.rs", "mod face; mod c;"),
            (
                "src/face/mod.rs",
                "mod a; mod b; pub use a::A; pub use self::b::B;",
            ),
            ("src/face/a.rs", "use super::B; pub struct A(Box<B>);"),
            ("src/face/b.rs", "use crate::c::C; pub struct B(Box<C>);"),
            ("src/c.rs", "use crate::face::A; pub struct C(A);"),
        ],
        &[
            "src/c.rs -> src/face/a.rs: A",
            "src/face/a.rs -> src/face/b.rs: B",
            "src/face/b.rs -> src/c.rs: C",
        ],
    );
}

#[test]
fn a_name_had_through_the_face_from_a_sibling() {
    assert_free(&[
        ("src/lib.rs", "mod face;"),
        (
            "src/face.rs",
            "mod a; mod b; pub use a::A; pub use b::B as Bee;",
        ),
        ("src/face/a.rs", "pub struct A(super::Bee);"),
        ("src/face/b.rs", "pub struct B;"),
    ]);
}

#[test]
fn a_name_had_through_globs() {
    let lib = ("src/lib.rs", "mod face; mod user;");
    let face = ("src/face/mod.rs", "mod a; pub use a::*;");
    let user = ("src/user.rs", "use crate::face::*; pub struct User(A);");
    let harmless = ("src/face/a.rs", "pub struct A;");
    assert_free(&[lib, face, user, harmless]);
    assert_circle(
        &[
            lib,
            face,
            user,
            ("src/face/a.rs", "pub struct A(Box<crate::user::User>);"),
        ],
        &[
            "src/face/a.rs -> src/user.rs: User",
            "src/user.rs -> src/face/a.rs: A",
        ],
    );
}

/// What a glob brings is what is public.
#[test]
fn a_private_item_behind_a_glob_is_not_meant() {
    assert_free(&[
        ("src/lib.rs", "mod a; mod b; mod c;"),
        (
            "src/a.rs",
            "use crate::b::*; use crate::c::*; pub struct A(X);",
        ),
        ("src/b.rs", "struct X; pub struct B(crate::a::A);"),
        ("src/c.rs", "pub struct X;"),
    ]);
}

#[test]
fn modules_at_a_path() {
    assert_circle(
        &[
            (
                "src/lib.rs",
                "#[path = \"elsewhere/one.rs\"] mod a; mod inner { mod b; }",
            ),
            ("src/elsewhere/one.rs", "mod two; pub fn f() { two::g() }"),
            ("src/elsewhere/two.rs", "pub fn g() { crate::a::f() }"),
            ("src/inner/b.rs", ""),
        ],
        &[
            "src/elsewhere/one.rs -> src/elsewhere/two.rs: g, mod two",
            "src/elsewhere/two.rs -> src/elsewhere/one.rs: f",
        ],
    );
}

#[test]
fn a_name_that_is_only_used_in_an_expression() {
    assert_circle(
        &[
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "pub fn f() -> u8 { crate::b::g() }"),
            (
                "src/b.rs",
                "use super::a; pub fn g() -> u8 { let x = a::f(); x }",
            ),
        ],
        &["src/a.rs -> src/b.rs: g", "src/b.rs -> src/a.rs: f"],
    );
}

#[test]
fn a_name_that_is_only_used_in_a_macro() {
    assert_circle(
        &[
            ("src/lib.rs", "mod a; mod b;"),
            (
                "src/a.rs",
                "pub fn f() { println!(\"{}\", [crate::b::G.len()]) }",
            ),
            (
                "src/b.rs",
                "pub const G: &str = \"\"; pub fn g() { dbg!(1, super::a::f()); }",
            ),
        ],
        &["src/a.rs -> src/b.rs: G", "src/b.rs -> src/a.rs: f"],
    );
}

#[test]
fn a_child_that_uses_what_its_parent_defines() {
    assert_circle(
        &[
            ("src/lib.rs", "mod parent;"),
            (
                "src/parent/mod.rs",
                "mod child; pub struct P; pub use child::C;",
            ),
            ("src/parent/child.rs", "pub struct C(super::P);"),
        ],
        &[
            "src/parent/child.rs -> src/parent/mod.rs: P",
            "src/parent/mod.rs -> src/parent/child.rs: C, mod child",
        ],
    );
}

/// A variant leads to its enum, what a macro has made to the module that it is in.
#[test]
fn the_longest_part_that_is_known_counts() {
    assert_circle(
        &[
            ("src/lib.rs", "mod a; mod b;"),
            (
                "src/a.rs",
                "pub enum A { One } pub fn f() { crate::b::MADE.with(|_| ()) }",
            ),
            (
                "src/b.rs",
                "make!(MADE); pub fn g() { let _ = crate::a::A::One; }",
            ),
        ],
        &["src/a.rs -> src/b.rs: MADE", "src/b.rs -> src/a.rs: A"],
    );
}

#[test]
fn tests_and_other_targets_count() {
    let helper = ("tests/it/helper.rs", "pub fn help() { crate::LIMIT; }");
    assert_circle(
        &[
            ("src/lib.rs", ""),
            ("tests/it/main.rs", "mod helper; const LIMIT: u8 = 1;"),
            helper,
        ],
        &[
            "tests/it/helper.rs -> tests/it/main.rs: LIMIT",
            "tests/it/main.rs -> tests/it/helper.rs: mod helper",
        ],
    );
    assert_circle(
        &[
            ("src/lib.rs", "mod a; mod b;"),
            (
                "src/a.rs",
                "#[cfg(test)] mod tests { use super::super::b::*; fn t() { g() } } pub fn f() {}",
            ),
            ("src/b.rs", "use crate::a::f; pub fn g() { f() }"),
        ],
        &["src/a.rs -> src/b.rs: g", "src/b.rs -> src/a.rs: f"],
    );
}

#[test]
fn other_crates_do_not_count() {
    assert_free(&[
        ("src/lib.rs", "mod a; pub struct L;"),
        (
            "src/a.rs",
            "use std::io; pub fn f(_: ::small::L) -> io::Result<()> { small::g() }",
        ),
        ("src/main.rs", "fn main() { small::L; }"),
    ]);
}

#[test]
fn what_cannot_be_read_is_no_success() {
    let (status, printed) = check(&[("src/lib.rs", "mod missing;")]);
    assert_eq!(status, Some(2), "{printed}");
    assert!(printed.contains("missing"), "{printed}");
    let (status, printed) = check(&[("src/lib.rs", "fn (")]);
    assert_eq!(status, Some(2), "{printed}");
    assert!(printed.contains("lib.rs"), "{printed}");
}
