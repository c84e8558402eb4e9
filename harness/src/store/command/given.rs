//! What a command is given: the store's directory, and where a daemon can listen.

use std::io;
use std::path::{Path, PathBuf};

use super::ports::{Pool, Ports};
use super::sockets::SocketFolder;
use crate::owner::Owner;
use crate::process::quoted;

/// Stands for the store's directory in a command.
pub(super) const DIR_MARK: &str = "{dir}";
/// Stands for a port. The three after it are the command's as well.
const PORT_MARK: &str = "{port}";
/// Stands for the path of a socket.
const SOCK_MARK: &str = "{sock}";
/// The same for scripts.
const PORT_VARIABLE: &str = "PLUGPULL_PORT";
const SOCK_VARIABLE: &str = "PLUGPULL_SOCK";

/// Where the daemon of one command can listen. What cannot be had is not there.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    port: Option<u16>,
    socket: Option<PathBuf>,
}

impl Given {
    /// For a command that a user repeats by hand.
    pub(super) fn by_hand() -> Self {
        Self {
            port: Some(20_000),
            socket: Some("/tmp/plugpull.sock".into()),
        }
    }

    /// A command for a store in this directory, as a shell takes it.
    pub(super) fn command(&self, command: &str, dir: &Path) -> String {
        let port = self.port.map(|port| port.to_string());
        let socket = self.socket.as_deref();
        let path = |path: &Path| quoted(&path.to_string_lossy());
        let marks = [
            (DIR_MARK, Some(path(dir))),
            (PORT_MARK, port),
            (SOCK_MARK, socket.map(path)),
        ];
        let mut filled = String::new();
        let mut left = command;
        while let Some(brace) = left.find('{') {
            let (before, from) = left.split_at(brace);
            let mut marks = marks.iter();
            let mark = marks.find(|(mark, value)| value.is_some() && from.starts_with(mark));
            let (taken, value) = match mark {
                Some((mark, Some(value))) => (mark.len(), value.as_str()),
                _ => (1, "{"),
            };
            filled.push_str(before);
            filled.push_str(value);
            left = &from[taken..];
        }
        filled + left
    }

    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let port = self.port.map(|port| port.to_string());
        let socket = self.socket.as_ref();
        let socket = socket.map(|socket| socket.to_string_lossy().into_owned());
        let variables = [(PORT_VARIABLE, port), (SOCK_VARIABLE, socket)];
        let variables = variables.into_iter();
        variables
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }
}

/// Where the daemons of one command after the other can listen.
#[derive(Debug)]
pub(super) struct Endpoints {
    needs_port: bool,
    needs_socket: bool,
    pool: Pool,
    /// Of the last command.
    ports: Option<Ports>,
    folder: Option<SocketFolder>,
}

impl Endpoints {
    pub(super) fn of(commands: &[&str]) -> Self {
        let names = |mark| commands.iter().any(|command| command.contains(mark));
        Self {
            needs_port: names(PORT_MARK),
            needs_socket: names(SOCK_MARK),
            pool: Pool::of_machine(),
            ports: None,
            folder: None,
        }
    }

    /// Those of the next command. Nothing is left of the last one.
    ///
    /// # Errors
    /// If a command names what cannot be had.
    pub(super) fn renew(&mut self, owner: Option<&Owner>) -> io::Result<Given> {
        let ports = self.pool.claim();
        // Not before: the next ones are others.
        self.ports = needed(ports, self.needs_port)?;
        let socket = self.socket(owner);
        Ok(Given {
            port: self.ports.as_ref().map(Ports::first),
            socket: needed(socket, self.needs_socket)?,
        })
    }

    fn socket(&mut self, owner: Option<&Owner>) -> io::Result<PathBuf> {
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => SocketFolder::create()?,
        };
        self.folder.insert(folder).fresh(owner)
    }

    /// Looks at the ports of a command that is over.
    ///
    /// # Errors
    /// If another process has one: what the command did says nothing.
    pub(super) fn check(&self) -> io::Result<()> {
        self.ports.as_ref().map_or(Ok(()), Ports::check)
    }
}

/// What cannot be had is an error only where it is needed.
fn needed<T>(had: io::Result<T>, is_needed: bool) -> io::Result<Option<T>> {
    match had {
        Ok(had) => Ok(Some(had)),
        Err(error) if is_needed => Err(error),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_is_filled_in_once_and_paths_are_quoted_for_the_shell() {
        let given = Given {
            port: Some(10_004),
            socket: Some("/tmp/a b/sock".into()),
        };
        let dir = Path::new("/tmp/it's {port}");
        let command = given.command("w --at {dir} --log {dir}/log", dir);
        assert_eq!(
            command,
            r"w --at '/tmp/it'\''s {port}' --log '/tmp/it'\''s {port}'/log"
        );
        let command = given.command("w :{port} {sock}.x ${VARIABLE} {a,b} {", dir);
        assert_eq!(command, "w :10004 '/tmp/a b/sock'.x ${VARIABLE} {a,b} {");
    }

    #[test]
    fn scripts_find_the_same_in_their_environment_and_each_command_gets_another_port() {
        let mut endpoints = Endpoints::of(&["w {dir} {port}", "c {dir}"]);
        let mut ports = Vec::new();
        for _ in 0..3 {
            let given = endpoints.renew(None).expect("all can be had");
            let variables = given.environment();
            let filled = given.command("{port}", Path::new("/"));
            assert_eq!(variables[0], (PORT_VARIABLE.to_owned(), filled.clone()));
            assert_eq!(variables[1].0, SOCK_VARIABLE);
            ports.push(filled);
        }
        ports.dedup();
        assert_eq!(ports.len(), 3);
    }
}
