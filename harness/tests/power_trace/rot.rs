//! Sectors rot in what programs have left that know nothing of it: a checker that looks at checksums passes, and
//! its guilty twins, which believe what they read, are caught.

use std::path::Path;

use plugpull::{
    CrashKind, Failure, RecoverRun, Report, Subject, SubjectError, Survivors, Torture, WriteRun,
};
use twox_hash::XxHash3_64;

use crate::case::{Program, is_caught, is_unavailable, passes, torture};
use crate::recorder::RECORDER;

/// Records of a length, a checksum of all records so far, and an entry with room behind it.
const RECORDS: &str = r#"
    use Digest::MD5 qw(md5 md5_hex);
    my ($end, $chain) = (0, "");
    my $all = slurp("$dir/log");
    while (length $all >= $end + 20) {
        my ($length, $sum) = unpack "N a16", substr($all, $end, 20);
        last if !$length || $length > length($all) - $end - 20;
        my $entry = substr($all, $end + 20, $length);
        last if $sum ne md5($chain . $entry);
        ($chain, $end) = ($sum, $end + 20 + $length);
    }
    sysopen(my $log, "$dir/log", O_RDWR | O_CREAT, 0644) or die "log: $!";
    truncate($log, $end) or die "truncate: $!";
    $log->sync or die "sync: $!";
    sync_dir();
    sysseek($log, $end, 0);
    for my $number (0..3) {
        my $id = "g$generation-$number";
        my $entry = $id . " " x (300 - length $id);
        print "attempt $id ", md5_hex($entry), "\n";
        $chain = md5($chain . $entry);
        put($log, pack("N a16", length $entry, $chain) . $entry);
        $log->sync or die "sync: $!"; # FILE
        print "ack $id\n";
    }
"#;

/// It asks `trusts` for a length, and `differs` for a record that is not what was written. A kill ends a log in
/// the middle of a record, so that is the end.
fn checker(trusts: &str, differs: &str) -> &'static str {
    let checker = format!(
        r#"
    use Digest::MD5 qw(md5 md5_hex);
    open(my $log, "<", "$ARGV[0]/log") or exit 0;
    local $/;
    my $all = <$log>;
    exit 0 unless defined $all;
    my ($end, $chain) = (0, "");
    while (length $all >= $end + 20) {{
        my ($length, $sum) = unpack "N a16", substr($all, $end, 20);
        last if !$length;
        if ($length > 65536) {{ {trusts} }}
        last if $length > length($all) - $end - 20;
        my $entry = substr($all, $end + 20, $length);
        if ($sum ne md5($chain . $entry)) {{ {differs} }}
        ($chain, $end) = ($sum, $end + 20 + $length);
        print "survived ", substr($entry, 0, index $entry, " "), " ", md5_hex($entry), "\n";
    }}
"#
    );
    String::leak(checker)
}

fn run(checker: &'static str, writer: &str) -> (tempfile::TempDir, Result<Report, Failure>) {
    let program = Program {
        writer: writer.to_owned(),
        checker,
    };
    program.run_with(&program.writer, 2, rot)
}

fn rot(torture: Torture) -> Torture {
    torture.crash([CrashKind::Rot])
}

/// Damage was met, and nothing that is wrong was served.
fn withstands(outcome: Result<Report, Failure>, refusals: bool) {
    if let Ok(report) = &outcome {
        let tally = &report.rows[0].tally;
        assert_eq!(report.rows[0].case(), format!("rot {RECORDER}"));
        assert!(tally.crash_states > 100, "{tally:?}");
        let met = if refusals {
            tally.detected
        } else {
            tally.unprovable
        };
        assert!(met > 0, "{tally:?}");
    }
    passes(outcome);
}

#[test]
fn a_log_with_checksums_may_end_where_it_is_damaged_or_refuse_to_open() {
    withstands(run(checker("last", "last"), RECORDS).1, false);
    let refuses = r#"die "damaged""#;
    withstands(run(checker(refuses, refuses), RECORDS).1, true);
}

#[test]
fn a_log_without_checksums_serves_what_was_never_written() {
    let program = Program {
        writer: RECORDS.to_owned(),
        checker: checker("last", ""),
    };
    // One of each class: it also serves what was written elsewhere.
    let all = |torture| rot(torture).keep_going();
    is_caught(
        program.run_with(&program.writer, 2, all).1,
        "mangled: entry",
    );
}

#[test]
fn a_length_that_is_believed_crashes_the_checker() {
    for signal in ["SEGV", "ABRT"] {
        let crashes = format!("kill '{signal}', $$");
        let crashes = checker(&crashes, "last");
        is_caught(run(crashes, RECORDS).1, "recovery of damaged bytes");
    }
}

/// A script tells by its status how its last program has ended.
#[test]
fn a_crash_behind_a_shell_is_one_too() {
    let crashes = checker("exit 128 + 11", "last");
    is_caught(run(crashes, RECORDS).1, "recovery of damaged bytes");
}

#[test]
fn a_length_that_is_believed_makes_the_checker_print_for_ever() {
    let endless = checker(r#"print "survived g0-0\n" while 1"#, "last");
    is_caught(run(endless, RECORDS).1, "it prints without end");
}

/// What it says is no word of the protocol, but begins like one.
#[test]
fn bytes_that_are_printed_as_they_are_found_are_served() {
    let prints = checker("last", r#"print "survived $entry and so on\n"; last"#);
    is_caught(run(prints, RECORDS).1, "does not keep to the protocol");
}

/// Its own words are no entries.
#[test]
fn a_message_on_standard_output_refuses() {
    let says = checker("last", r#"print "Error: the log is malformed\n"; exit 0"#);
    withstands(run(says, RECORDS).1, true);
}

/// What a power cut takes is found by `power`; damage does not make it worse.
#[test]
fn a_sync_that_is_missing_is_no_matter_of_rot() {
    let unsynced: Vec<&str> = RECORDS
        .lines()
        .filter(|line| !line.ends_with("# FILE"))
        .collect();
    passes(run(checker("last", "last"), &unsynced.join("\n")).1);
}

/// A name is lost to a power cut, and never to damage.
#[test]
fn what_breaks_before_anything_is_damaged_is_no_matter_of_rot() {
    let named = r#"sync_dir(); open(my $named, ">", "$dir/named") or die "named: $!";"#;
    let writer = RECORDS.replace("sync_dir();", named);
    let crashes = checker("last", "last").replace(
        "exit 0 unless defined $all;",
        r#"exit 0 unless defined $all && length $all; kill 'SEGV', $$ unless -e "$ARGV[0]/named";"#,
    );
    assert!(writer != RECORDS && crashes.contains("SEGV"));
    let program = Program {
        writer,
        checker: String::leak(crashes),
    };
    match program.run_with(&program.writer, 6, rot).1 {
        Ok(_) | Err(Failure::Vacuous(_)) => {}
        Err(failure) if is_unavailable(&failure) => {}
        Err(failure) => panic!("damage is accused: {failure}"),
    }
}

#[test]
fn the_story_names_what_was_damaged() {
    let (_dir, outcome) = run(checker("last", ""), RECORDS);
    let failure = outcome.expect_err("it is guilty");
    if is_unavailable(&failure) {
        return;
    }
    let Failure::Violation(rows) = &failure else {
        panic!("no verdict: {failure}");
    };
    let folder = &rows[0].failures[0].folder;
    let told = std::fs::read_to_string(folder.join("README.md")).expect("text");
    for part in [
        "sectors rotted in life",
        "Then a sector rots: /log, bytes ",
        "without the damage breaks no promise",
    ] {
        assert!(told.contains(part), "'{part}' in: {told}");
    }
}

const SLOT_BYTES: usize = 512;

/// What a log of slots makes of one that is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slots {
    EndThere,
    Refuse,
    Serve,
    Panic,
}

/// Rust code without a seam. In a slot stand a checksum, a length, and a payload.
struct SlotLog {
    name: &'static str,
    damaged: Slots,
}

fn checksum(number: usize, slot: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(number as u64, &slot[8..])
}

impl SlotLog {
    fn payloads(&self, dir: &Path) -> Result<Vec<Vec<u8>>, SubjectError> {
        let bytes = match std::fs::read(dir.join("log")) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let mut payloads = Vec::new();
        for (number, slot) in bytes.as_chunks::<SLOT_BYTES>().0.iter().enumerate() {
            let [sum, len] = [0, 8].map(|at| slot[at..].first_chunk().copied());
            let [sum, len] = [sum, len].map(|word| u64::from_le_bytes(word.unwrap_or_default()));
            let is_whole = sum == checksum(number, slot);
            match self.damaged {
                _ if len == 0 && sum == 0 => break,
                Slots::EndThere if !is_whole => break,
                Slots::Refuse if !is_whole => return Err("a slot is damaged".into()),
                Slots::Panic if !is_whole => panic!("a slot is damaged"),
                _ => {}
            }
            let len = usize::try_from(len)?.min(SLOT_BYTES - 16);
            payloads.push(slot[16..16 + len].to_vec());
        }
        Ok(payloads)
    }
}

impl Subject for SlotLog {
    fn name(&self) -> &str {
        self.name
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        let mut log = self.payloads(run.dir)?;
        let path = run.dir.join("log");
        for action in run.workload.actions(0).take(4) {
            let mut payload = run.workload.payload(action.id);
            if payload.len() > SLOT_BYTES - 16 {
                continue;
            }
            run.recorder.attempt(action.id);
            log.push(std::mem::take(&mut payload));
            let mut bytes = Vec::new();
            for (number, payload) in log.iter().enumerate() {
                let mut slot = [0; SLOT_BYTES];
                slot[8..16].copy_from_slice(&(payload.len() as u64).to_le_bytes());
                slot[16..16 + payload.len()].copy_from_slice(payload);
                let sum = checksum(number, &slot);
                slot[..8].copy_from_slice(&sum.to_le_bytes());
                bytes.extend(slot);
            }
            // Whole and synced before it has its name.
            let new = run.dir.join("log.new");
            std::fs::write(&new, bytes)?;
            std::fs::File::open(&new)?.sync_all()?;
            std::fs::rename(&new, &path)?;
            std::fs::File::open(run.dir)?.sync_all()?;
            run.recorder.ack(action.id, log.len() as u64 - 1);
        }
        Ok(())
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        for (position, payload) in (0..).zip(self.payloads(run.dir)?) {
            survivors.push(position, &payload);
        }
        Ok(())
    }
}

fn slots(name: &'static str, damaged: Slots) -> Result<Report, Failure> {
    let dir = tempfile::tempdir().expect("a directory");
    let torture = torture(SlotLog { name, damaged }, 6, dir.path());
    rot(torture).keep_going().run()
}

#[test]
fn rust_code_without_a_seam_may_end_where_it_is_damaged() {
    withstands(slots("ends-there", Slots::EndThere), false);
}

#[test]
fn rust_code_without_a_seam_may_refuse() {
    withstands(slots("refuses", Slots::Refuse), true);
}

#[test]
fn rust_code_without_a_seam_must_not_serve_damaged_bytes() {
    is_caught(slots("serves", Slots::Serve), "mangled");
}

#[test]
fn rust_code_without_a_seam_must_not_panic() {
    is_caught(slots("panics", Slots::Panic), "recovery of damaged bytes");
}
