//! Other processes in the directory, and programs that do not keep to the protocol.

use plugpull::CrashKind;

use crate::case::{Scripts, violations};
use crate::scripts::{Log, Program};

/// A second process makes, renames and removes files and directories all the time.
const CHURN: Program = Program {
    begin: r#"
        if (!fork) {
            for (my $n = 0; ; $n++) {
                my $churned = "$dir/churn" . $n % 7;
                mkdir $churned;
                open(my $file, ">", "$churned/a");
                rename "$churned/a", "$churned/b";
                unlink "$churned/b";
                rmdir $churned;
            }
        }
    "#,
    prepare: "",
    each: "",
    check: "",
};

const PLAIN: Program = Program {
    prepare: "",
    begin: "",
    each: "",
    check: "",
};

#[test]
fn a_tree_that_another_process_churns() {
    CHURN.passes_and_its_guilty_twin_does_not();
}

/// The checker's answer is right and its process is a violation of its own: the verdict says which.
#[test]
fn a_checker_that_leaves_a_process_is_blamed_for_that_and_for_nothing_else() {
    let leaving = Program {
        check: r#"
            if (!fork) {
                POSIX::setsid();
                open(STDOUT, ">", "/dev/null");
                sleep 300;
                exit 0;
            }
        "#,
        ..PLAIN
    };
    let checker = format!("use POSIX ();\n{}", leaving.checker());
    let scripts = Scripts::new(&leaving.writer(Log::Written), &checker);
    for (crash, rounds) in [(CrashKind::Kill, 6), (CrashKind::Syscall, 1)] {
        let failure = scripts.run("perl", crash, rounds);
        let told = violations(crash, &failure.expect_err("it leaves a process"));
        assert!(told.contains("left 1 of its processes running"), "{told}");
        assert!(!told.contains("acknowledged and is gone"), "{told}");
    }
}

/// The protocol wants each word at once. A writer whose words wait in a buffer is accused of phantoms,
/// never of a loss.
#[test]
fn a_writer_that_does_not_flush_its_words_has_phantoms_and_no_losses() {
    let writer = PLAIN.writer(Log::Written).replace("$| = 1;", "$| = 0;");
    let scripts = Scripts::new(&writer, &PLAIN.checker());
    for (crash, rounds) in [(CrashKind::Kill, 12), (CrashKind::Syscall, 2)] {
        let failure = scripts.run("perl", crash, rounds);
        let told = violations(crash, &failure.expect_err("its words come late"));
        assert!(told.contains("phantom"), "{told}");
        assert!(!told.contains("acknowledged and is gone"), "{told}");
    }
}
