//! Paths as a traced task means them, brought to the names by which the tracer knows the files.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

/// Names that mean something else to each process, and what they are below its directory in `/proc`.
const OF_EACH: [(&str, &str); 6] = [
    ("/proc/self", ""),
    ("/proc/thread-self", ""),
    ("/dev/fd", "fd"),
    ("/dev/stdin", "fd/0"),
    ("/dev/stdout", "fd/1"),
    ("/dev/stderr", "fd/2"),
];

/// A path that a task uses, for another process to use: `/proc/self` is the task's.
pub(super) fn as_seen_by(task: Pid, path: PathBuf) -> PathBuf {
    for (of_each, own) in OF_EACH {
        if let Ok(rest) = path.strip_prefix(of_each) {
            let parts = [Path::new(own), rest];
            // An empty part would add a slash.
            let parts = parts.iter().filter(|part| !part.as_os_str().is_empty());
            return Path::new("/proc")
                .join(task.to_string())
                .join(parts.collect::<PathBuf>());
        }
    }
    path
}

/// The kernel marks the path of a file whose name is gone.
pub(super) fn undeleted(path: PathBuf) -> PathBuf {
    let bytes = path.into_os_string().into_vec();
    let name = bytes.strip_suffix(b" (deleted)").unwrap_or(&bytes);
    OsString::from_vec(name.to_vec()).into()
}

/// The directory is known by its real path, so the argument must be brought to it as well. What
/// cannot be found stays as it is: the call is about to fail.
pub(super) fn without_links(path: PathBuf, follow: bool) -> PathBuf {
    if follow && let Ok(real) = fs::canonicalize(&path) {
        return real;
    }
    match (path.parent().map(fs::canonicalize), path.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_each_process_is_that_of_the_task() {
        let seen = |path: &str| as_seen_by(Pid::from_raw(7), path.into());
        assert_eq!(seen("/proc/self/cwd/a"), Path::new("/proc/7/cwd/a"));
        assert_eq!(seen("/dev/stdout"), Path::new("/proc/7/fd/1"));
        assert_eq!(seen("/dev/fd/3"), Path::new("/proc/7/fd/3"));
        assert_eq!(seen("/proc/selfish"), Path::new("/proc/selfish"));
        assert_eq!(seen("/dev/null"), Path::new("/dev/null"));
    }
}
