//! A folder for sockets, outside of the store: what is in the store's directory is under test, and a socket's path
//! may not be as long as that of a store can be.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::owner::Owner;
use crate::scratch::{Scratch, remove_dir};

/// The longest path of a socket, in bytes: `sun_path` and a zero at its end.
const PATH_BYTES_MAX: usize = 107;
/// A daemon may put an ending of its own to the path, or give sockets in its folder names of its own.
const SPARE_BYTES: usize = 24;
/// A run's directory, the folder and the socket, below the directory for temporary files.
const BELOW_BYTES: usize = "/plugpull-run-123456/s/sock".len();

/// The folder of a command after the other. It goes when it is dropped; that of a torture which was killed, the
/// next one removes.
#[derive(Debug)]
pub(super) struct SocketFolder {
    scratch: Scratch,
}

impl SocketFolder {
    pub(super) fn create() -> io::Result<Self> {
        let scratch = Scratch::create(&base(env::temp_dir()))?;
        Ok(Self { scratch })
    }

    /// The folder is empty, and the path of a socket in it.
    pub(super) fn fresh(&self, owner: Option<&Owner>) -> io::Result<PathBuf> {
        let folder = self.scratch.path().join("s");
        remove_dir(&folder)?;
        fs::create_dir(&folder)?;
        owner.map_or(Ok(()), |owner| owner.take(&folder))?;
        Ok(folder.join("sock"))
    }
}

/// The directory for temporary files, or a shorter one.
fn base(temporary: PathBuf) -> PathBuf {
    let bytes = temporary.as_os_str().len() + BELOW_BYTES + SPARE_BYTES;
    if bytes <= PATH_BYTES_MAX {
        temporary
    } else {
        Path::new("/tmp").to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_s_path_is_short_enough() {
        let longest = "/".to_owned() + &"d".repeat(PATH_BYTES_MAX - BELOW_BYTES - SPARE_BYTES - 1);
        assert_eq!(base(longest.clone().into()), Path::new(&longest));
        assert_eq!(base((longest + "d").into()), Path::new("/tmp"));
        let folder = SocketFolder::create().expect("a folder");
        let path = folder.fresh(None).expect("a path");
        let below = path.as_os_str().len() - env::temp_dir().as_os_str().len();
        assert_eq!(below, BELOW_BYTES);
        let longer = path.display().to_string() + &"x".repeat(SPARE_BYTES);
        UnixListener::bind(longer).expect("the kernel takes it");
    }

    #[test]
    fn what_a_command_has_left_is_not_there_for_the_next_one() {
        let folder = SocketFolder::create().expect("a folder");
        let path = folder.fresh(None).expect("a path");
        let in_folder = path.parent().expect("it has one").to_owned();
        UnixListener::bind(&path).expect("bound");
        fs::write(path.with_extension("lock"), "pid").expect("written");
        assert_eq!(folder.fresh(None).expect("again"), path);
        assert_eq!(fs::read_dir(&in_folder).expect("there").count(), 0);
        drop(folder);
        assert!(!in_folder.parent().expect("it has one").exists());
    }
}
