//! Files that come into the directory as a whole: they had no name, or were elsewhere on its file system.

use crate::names::files_that;

#[test]
fn a_file_without_a_name_gets_one_when_it_is_synced() {
    let (unnamed, link) = (libc::O_TMPFILE, libc::SYS_linkat);
    let (cwd, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    let program = files_that(
        &format!(r#"sysopen(my $draft, $dir, {unnamed} | O_WRONLY, 0644) or die "draft: $!";"#),
        &format!(
            r#"
        my ($from, $to) = ("/proc/self/fd/" . fileno $draft, "$dir/log.$count");
        syscall({link}, {cwd}, $from, {cwd}, $to, {follow}) == 0 or die "linkat: $!";
        "#
        ),
    );
    program.passes_and_these_twins_do_not(&["# FILE", "# DIR"]);
}

/// What is done elsewhere is not seen, so a sync there that is missing is not found; its name is.
#[test]
fn a_file_that_comes_from_elsewhere_is_taken_to_be_synced() {
    let program = files_that(
        r#"
        my $elsewhere = "$dir.elsewhere.$$";
        sysopen(my $draft, $elsewhere, O_WRONLY | O_CREAT | O_TRUNC, 0644) or die "draft: $!";
        "#,
        r#"rename $elsewhere, "$dir/log.$count" or die "rename: $!";"#,
    );
    program.passes_and_these_twins_do_not(&["# DIR"]);
}
