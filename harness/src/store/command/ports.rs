//! TCP ports for daemons.
//!
//! A port cannot be held for a process that is still to be started: what holds it keeps that process from it as
//! well. So a port is chosen that the kernel gives to no connection, that no other torture chooses, and that no
//! socket has on any address, not even one whose connection ended a moment ago. Only a process that asks for this
//! very number can have it then. That shows after the run, whose outcome says nothing of the store.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

/// Ports that a command is given: one, and those that follow it.
const EACH: u16 = 4;
/// Below are those that servers have by default.
const FIRST: u16 = 10_000;
/// Ports that the kernel gives to connections.
const GIVEN_OUT: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// What they are where that cannot be read.
const USUALLY_GIVEN_OUT: RangeInclusive<u16> = 32_768..=60_999;
/// Sockets of all states, a line each.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/// The state in such a line of a socket that takes connections.
const LISTENS: &str = "0A";

/// Where ports come from. Each claim is of others than the last one, as long as there are any.
#[derive(Debug)]
pub(super) struct Pool {
    /// The first port of each claim that there can be.
    firsts: Vec<u16>,
    next: usize,
}

/// Ports that no other claim has, on this machine or in this container.
#[derive(Debug)]
pub(super) struct Ports {
    first: u16,
    /// A name of the network namespace, which ends with this process at the latest.
    _claim: UnixDatagram,
}

impl Pool {
    pub(super) fn of_machine() -> Self {
        Self::without(&given_out().unwrap_or(USUALLY_GIVEN_OUT))
    }

    fn without(given_out: &RangeInclusive<u16>) -> Self {
        let is_ours = |first: &u16| first + EACH <= *given_out.start() || first > given_out.end();
        let firsts = (FIRST..=u16::MAX - EACH).step_by(usize::from(EACH));
        let firsts: Vec<u16> = firsts.filter(is_ours).collect();
        // Tortures begin in different places, so that they seldom meet.
        let next = std::process::id() as usize % firsts.len().max(1);
        Self { firsts, next }
    }

    /// # Errors
    /// If there are none.
    pub(super) fn claim(&mut self) -> io::Result<Ports> {
        for _ in 0..self.firsts.len() {
            let first = self.firsts[self.next];
            self.next = (self.next + 1) % self.firsts.len();
            if let Some(ports) = Ports::claimed(first)? {
                return Ok(ports);
            }
        }
        Err(io::Error::other(format!(
            "no TCP port from {FIRST} on is free for a daemon: {GIVEN_OUT} gives them to connections, or they are \
             in use; leave some out of it (sysctl net.ipv4.ip_local_port_range='32768 60999')"
        )))
    }
}

impl Ports {
    /// `None` if one of them is another claim's, or in use.
    fn claimed(first: u16) -> io::Result<Option<Self>> {
        let name = UnixAddr::from_abstract_name(format!("plugpull-ports-{first}"))?;
        let claim = match UnixDatagram::bind_addr(&name) {
            Ok(claim) => claim,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Ok(None),
            Err(error) => return Err(error),
        };
        let ports = Self {
            first,
            _claim: claim,
        };
        for port in ports.all() {
            if !can_bind(port, false)? {
                return Ok(None);
            }
        }
        Ok(Some(ports))
    }

    pub(super) fn first(&self) -> u16 {
        self.first
    }

    fn all(&self) -> RangeInclusive<u16> {
        self.first..=self.first + (EACH - 1)
    }

    /// Looks whether another process has taken one, when nothing is left of the command that was given them.
    ///
    /// # Errors
    /// If so.
    pub(super) fn check(&self) -> io::Result<()> {
        for port in self.all() {
            // The table is long where many connections have ended, so it is read where there is a reason.
            if !can_bind(port, true)? && is_listened_on(port)? {
                return Err(io::Error::other(format!(
                    "another process has taken port {port}, which the command was given, so the run says nothing \
                     about the store: repeat it (`ss -ltnp` names the process)"
                )));
            }
        }
        Ok(())
    }
}

/// Whether a socket can have a port on all addresses. With `besides_ended`, what connections that have ended
/// leave there does not keep it from that.
fn can_bind(port: u16, besides_ended: bool) -> io::Result<bool> {
    let families = [
        (AddressFamily::INET, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        (AddressFamily::INET6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    ];
    for (family, all) in families {
        let tried = || {
            let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            sockopt::set_socket_reuseaddr(&socket, besides_ended)?;
            bind(&socket, &SocketAddr::new(all, port))
        };
        match tried() {
            // Nothing has a port in a family that this machine does not know.
            Ok(()) | Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {}
            Err(Errno::ADDRINUSE) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

fn is_listened_on(port: u16) -> io::Result<bool> {
    for table in TABLES {
        match fs::read_to_string(table) {
            Ok(lines) if lines.lines().any(|line| listens_on(line, port)) => return Ok(true),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(false)
}

/// `sl local_address:port remote_address:port state ..`, the numbers in base 16.
fn listens_on(line: &str, port: u16) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next().and_then(|local| local.rsplit_once(':'));
    let state = fields.nth(1);
    local.is_some_and(|(_, local)| u16::from_str_radix(local, 16) == Ok(port))
        && state == Some(LISTENS)
}

fn given_out() -> Option<RangeInclusive<u16>> {
    let text = fs::read_to_string(GIVEN_OUT).ok()?;
    let mut bounds = text.split_whitespace().map(str::parse);
    Some(bounds.next()?.ok()?..=bounds.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let mut pools = [Pool::of_machine(), Pool::of_machine()];
        let mut claims = Vec::new();
        for _ in 0..20 {
            claims.extend(pools.iter_mut().map(|pool| pool.claim().expect("some")));
        }
        let mut ports: Vec<u16> = claims.iter().flat_map(Ports::all).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), claims.len() * usize::from(EACH));
    }

    #[test]
    fn none_is_of_those_that_connections_get() {
        let pool = Pool::without(&(20_001..=50_001));
        let ports = pool.firsts.iter().map(|first| *first..=first + EACH - 1);
        let all: Vec<u16> = ports.flatten().collect();
        assert!(all.iter().all(|port| !(20_001..=50_001).contains(port)));
        assert!(all.contains(&19_999) && all.contains(&50_007));
        let none = Pool::without(&(1..=u16::MAX)).claim();
        let told = none.expect_err("none is left").to_string();
        assert!(told.contains("ip_local_port_range"), "{told}");
    }

    /// Gives a claim up. Its ports alone are what the next claim may be of.
    fn given_up(ports: Ports) -> Pool {
        let firsts = vec![ports.first()];
        drop(ports);
        Pool { firsts, next: 0 }
    }

    #[test]
    fn a_port_in_use_is_not_given() {
        for (address, more) in [("127.0.0.1", 0), ("127.9.9.9", 1), ("0.0.0.0", 3)] {
            let ports = Pool::of_machine().claim().expect("some");
            let _taken = TcpListener::bind((address, ports.first() + more)).expect("free");
            given_up(ports).claim().expect_err("it is taken");
        }
    }

    /// The end of a connection keeps a port busy for a minute for a daemon that does not say `SO_REUSEADDR`.
    #[test]
    fn a_port_whose_connection_has_just_ended_is_not_given_and_is_not_another_process_s() {
        let ports = Pool::of_machine().claim().expect("some");
        let daemon = TcpListener::bind(("127.0.0.1", ports.first())).expect("free");
        let client = TcpStream::connect(("127.0.0.1", ports.first())).expect("it listens");
        let (served, _) = daemon.accept().expect("it is there");
        drop((served, daemon));
        drop(client);
        ports.check().expect("nothing listens");
        given_up(ports).claim().expect_err("it is in TIME_WAIT");
    }

    #[test]
    fn a_port_that_another_process_takes_is_told() {
        let ports = Pool::of_machine().claim().expect("some");
        ports.check().expect("nothing listens");
        for (address, more) in [("127.0.0.1", 0), ("127.9.9.9", 3)] {
            let port = ports.first() + more;
            let _taken = TcpListener::bind((address, port)).expect("free");
            let told = ports.check().expect_err("taken").to_string();
            assert!(told.contains(&format!("port {port}")), "{told}");
        }
    }
}
