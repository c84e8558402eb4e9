//! Ports of daemons.

use std::fs;
use std::net::TcpListener;

use crate::torture::{Ended, Place, has};
use crate::wait::wait_until;

const WRITE: &str = "python3 daemon_log.py write {dir} {port}";
const CHECK: &str = "python3 daemon_log.py check {dir} {port}";

/// The daemon listens on all addresses, and does not take a port whose last connection ended a moment ago.
#[test]
fn daemons_of_several_lanes_and_of_several_tortures_do_not_meet() {
    if !has("python3", "ports", "python3") {
        return;
    }
    let place = Place::new();
    let more = ["--crash", "kill", "--rounds", "12", "--jobs", "3"];
    let start = || place.start([WRITE, CHECK], &more);
    for torture in [start(), start()] {
        Ended::of(torture).passes();
    }
}

#[test]
fn a_daemon_on_a_port_loses_power() {
    if !has("python3", "ports", "python3") {
        return;
    }
    let place = Place::new();
    let more = ["--crash", "power", "--rounds", "1", "--jobs", "1"];
    place.run([WRITE, CHECK], &more).passes();
}

#[test]
fn a_daemon_that_acknowledges_too_early_is_caught() {
    if !has("python3", "ports", "python3") {
        return;
    }
    let place = Place::new();
    let write = format!("{WRITE} naive");
    let more = ["--crash", "kill", "--rounds", "100", "--fail-fast"];
    let ended = place.run([&write, CHECK], &more);
    ended.is_violation("was acknowledged and is gone");
}

/// The same as a script finds it.
const NEEDS: &str =
    "[ \"$1\" = \"$PLUGPULL_PORT\" ] && [ \"$2\" = \"$PLUGPULL_SOCK\" ] || exit 3\n";

/// A process outside of the torture has the port, and the program ends with an error: nothing shows that the error
/// is its own.
#[test]
fn what_fails_while_another_process_has_its_port_is_no_violation() {
    let failing = "echo $PLUGPULL_PORT > port.new; mv port.new port\n\
                   until [ -e taken ]; do sleep 0.01; done; exit 1";
    let passing = "echo attempt g$PLUGPULL_GENERATION-0";
    for (writer, checker) in [(failing, "exit 0"), (passing, failing)] {
        for crash in ["kill", "syscall"] {
            let place = Place::new();
            place.script("writer.sh", &format!("{NEEDS}{writer}"));
            place.script("checker.sh", &format!("{NEEDS}{checker}"));
            let commands = ["writer", "checker"]
                .map(|script| format!("sh {script}.sh {{port}} {{sock}} {{dir}}"));
            let more = ["--crash", crash, "--rounds", "1", "--jobs", "1"];
            let torture = place.start([&commands[0], &commands[1]], &more);
            let port = place.path().join("port");
            wait_until("the program runs", || port.exists());
            let port = fs::read_to_string(&port).expect("written");
            let taken = TcpListener::bind(format!("127.0.0.1:{}", port.trim()));
            let _taken = taken.expect("nothing has it");
            fs::write(place.path().join("taken"), "").expect("written");
            let ended = Ended::of(torture);
            let told = format!("another process has taken port {}", port.trim());
            ended.is_environment(&told);
        }
    }
}
