//! The program `collection` as a process: signals and limits.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use collection::client::{Client, ConnectOptions};

use crate::stage::{USER, runtime};

const PROGRAM: &str = env!("CARGO_BIN_EXE_collection");
/// Of a vector: a few hundred fill the smallest file of the log.
const DIMENSION: usize = 4096;

/// `collection serve`, once it listens.
struct Serving {
    child: Child,
    /// Kept open, so that the server can write to it.
    _stdout: BufReader<ChildStdout>,
    address: String,
}

impl Serving {
    /// With a limit of file sizes, in the shell's blocks of 512 bytes.
    fn start(dir: &Path, limit: &str) -> Self {
        let mut child = spawn(dir, limit);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line
            .split_once("http://")
            .and_then(|(_, rest)| rest.split_once(": "));
        let (address, _) = address.unwrap_or_else(|| panic!("it does not listen: {line}"));
        Self {
            address: address.to_owned(),
            child,
            _stdout: stdout,
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(status.success());
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(dir: &Path, limit: &str) -> Child {
    let dimension = DIMENSION.to_string();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -f \"$0\" && exec \"$@\"", limit, PROGRAM])
        .args(["serve", "--listen", "127.0.0.1:0", "--log-segment", "8"])
        .args(["--dimension", &dimension, "--dir"])
        .arg(dir);
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    piped.spawn().unwrap()
}

/// `SIGXFSZ` ended the process at the first write beyond the limit.
#[test]
fn a_limit_of_file_sizes_is_an_error_with_the_files_name() {
    let tmp = tempfile::tempdir().unwrap();
    // Less than the log's first file takes.
    let dir = tmp.path().join("small");
    let mut child = spawn(&dir, "2048");
    let mut text = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut text).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(1), None), "{text}");
    assert!(text.contains("File too large"), "{text}");
    assert!(text.contains(dir.to_str().unwrap()), "{text}");

    // More than that, and less than the segment that a flush writes.
    let dir = tmp.path().join("large");
    let server = Serving::start(&dir, "18432");
    runtime().block_on(async {
        let address = format!("http://{}", server.address);
        let client = Client::connect(&address, ConnectOptions::default()).await;
        let mut client = client.unwrap();
        for batch in 0..12 {
            let docs: Vec<u128> = (batch * 60..(batch + 1) * 60).collect();
            let vectors = vec![1.0; docs.len() * DIMENSION];
            client.insert(&docs, &[USER], vectors).await.unwrap();
        }
        let failed = client.flush().await.unwrap_err();
        assert!(failed.message().contains("File too large"), "{failed}");
        assert!(failed.message().contains(".segment"), "{failed}");
        // It goes on.
        let vector = vec![1.0; DIMENSION];
        let seq = client.insert(&[1000], &[USER], vector.clone()).await;
        let found = client.search(USER, vector, 10, Some(seq.unwrap()), false);
        assert_eq!(found.await.unwrap().hits.len(), 10);
    });
}

/// The first Ctrl-C waits for requests in progress, for ten seconds at most; the second did, too.
#[test]
fn a_second_interrupt_ends_the_server_at_once() {
    let tmp = tempfile::tempdir().unwrap();
    let mut server = Serving::start(&tmp.path().join("data"), "unlimited");
    // A client that says nothing: the orderly end waits for it.
    let client = TcpStream::connect(&server.address).unwrap();
    sleep(Duration::from_millis(200));
    server.signal("-INT");
    sleep(Duration::from_millis(500));
    assert!(
        server.child.try_wait().unwrap().is_none(),
        "the first one ends it in order"
    );
    server.signal("-INT");
    let status = server.child.wait().unwrap();
    // The orderly end would have been a success, after ten seconds.
    assert_eq!(status.code(), Some(130));
    assert!(server.stderr().contains("Ctrl-C ends at once"));
    drop(client);
}

#[test]
fn one_signal_is_an_orderly_end_and_unknown_files_are_named_at_the_start() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("data");
    for signal in ["-INT", "-TERM"] {
        let mut server = Serving::start(&dir, "unlimited");
        server.signal(signal);
        let status = server.child.wait().unwrap();
        assert_eq!(status.code(), Some(0));
        let text = server.stderr();
        assert_eq!(text.contains("backup.segment"), signal == "-TERM", "{text}");
        std::fs::write(dir.join("backup.segment"), "mine").unwrap();
    }
}
