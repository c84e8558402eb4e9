//! What an ordinary user, a container or a setting of the kernel forbids.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::place::Outcome::{Told, Works};
use crate::place::{Place, Store, is_root};

#[test]
fn as_an_ordinary_user() {
    if !is_root() {
        return;
    }
    let user = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
    ];
    let place = Place::new("an ordinary user", &user);
    place.comes_to_for_both(Works, &["not root"]);
    let disk = Place::new("an ordinary user, disk", &user).by("disk");
    disk.comes_to(Told(&["only root may mount a disk"]), &["UNAVAILABLE: "]);
}

#[test]
fn where_memory_files_cannot_be_executed() {
    if !is_root() {
        return;
    }
    // The setting is of the pid namespace.
    let prepare = "echo 2 > /proc/sys/vm/memfd_noexec && exec \"$@\"";
    let enter = ["unshare", "-pf", "--mount-proc", "sh", "-c", prepare, "sh"];
    let place = Place::new("vm.memfd_noexec=2", &enter);
    place.comes_to_for_both(Works, &["memfd        yes"]);
}

#[test]
fn where_yama_forbids_tracing() {
    match std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope") {
        // It is of the whole machine, so no test may set it.
        Ok(scope) if matches!(scope.trim(), "0" | "1") => {
            Place::new("Yama, as it is set here", &["env"])
                .comes_to_for_both(Works, &["ptrace_scope"]);
        }
        Ok(scope) => {
            let words = ["ptrace_scope is"];
            eprintln!("ptrace_scope is {}", scope.trim());
            Place::new("Yama, as it is set here", &["env"]).comes_to(Told(&words), &words);
        }
        Err(error) => eprintln!("skipped: this kernel has no Yama: {error}"),
    }
}

#[test]
fn where_tracing_is_forbidden() {
    // On a thread of its own: a filter stays with the thread, and goes on to what it starts.
    let run = std::thread::spawn(|| {
        let filter = forbid(&[libc::SYS_ptrace]);
        seccompiler::apply_filter(&filter).expect("a filter is allowed here");
        let words = ["SYS_PTRACE", "seccomp=unconfined"];
        Place::new("no ptrace", &["env"]).comes_to_for_both(Told(&words), &words);
        let place = Place::new("no ptrace, without syscall", &["env"]);
        place.by("kill,power").comes_to(Works, &words);
        let place = Place::new("no ptrace, without syscall", &["env"]);
        let place = place.by("kill").torturing(Store::Commands);
        place.comes_to(Works, &[]);
    });
    run.join().expect("no panic");
}

fn forbid(calls: &[libc::c_long]) -> BpfProgram {
    let rules: BTreeMap<_, _> = calls.iter().map(|call| (*call, vec![])).collect();
    let refuse = SeccompAction::Errno(u32::try_from(libc::EPERM).expect("small"));
    let arch = std::env::consts::ARCH.try_into().expect("known");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch);
    filter.expect("well-formed").try_into().expect("small")
}
