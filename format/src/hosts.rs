//! The machines of a run on several: `krono run --testbed hosts:FILE`.
//!
//! A file in TOML that says of each server how it is reached, which ports its cores have and on
//! which processors they run; what happens is the scenario's business, and both are needed for a
//! run. Every mistake is answered by a [`Diagnostic`] with file, line, key and remedy.
//! [`Hosts::fits`] says whether a file has the servers that a plan asks for. `docs/hosts.md`
//! describes it for people.

use crate::error::{Diagnostic, Place};
use crate::plan::Topology;
use crate::scenario::document::{Document, Places};
use serde::Deserialize;
use std::fmt;
use std::net::IpAddr;

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hosts {
    /// The network between the servers.
    #[serde(default)]
    pub network: Network,
    /// The servers; those of one role count in this order.
    #[serde(rename = "server")]
    pub servers: Vec<Server>,
}

/// The network between the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Ethernet address of the router, such as `02:00:00:00:00:fe`, to which servers under test
    /// send everything. Absent where there is one generator core, which is then their next hop.
    pub gateway: Option<String>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its name, in messages and records.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// `host:port` of an agent that runs there.
    pub agent: Option<String>,
    /// Folder of the controller's keys, from the place of this file; not needed for an agent on a
    /// loopback address.
    pub tls: Option<String>,
    /// Whom to log in as, and where: `user@host`. The agent is started by it.
    pub ssh: Option<String>,
    /// Options of ssh, such as `["-p", "2222"]`.
    #[serde(default)]
    pub ssh_options: Vec<String>,
    /// The program there that ssh starts, beside which `kronogen` and `krononat` are.
    pub krono: Option<String>,
    /// A port for each core.
    pub ports: Vec<Port>,
    /// A processor for each core, by its number in Linux; any where absent.
    #[serde(default)]
    pub cpus: Vec<usize>,
}

/// What a server is in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It sends and judges.
    Generator,
    /// It is measured.
    Sut,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Generator => "generator",
            Role::Sut => "sut",
        })
    }
}

/// A core's port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Port {
    /// A NIC or a virtual function of one, by its PCI address, such as `0000:3b:02.0`.
    Pci(String),
    /// A packet socket on an interface: for tests.
    AfPacket(String),
    /// Shared memory, for two servers on one machine: name of an abstract socket, the same at both.
    Memif(String),
}

impl Hosts {
    /// Reads `source`; `file` is its name in messages.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(source: &str, file: &str) -> Result<Hosts, Diagnostic> {
        let (hosts, places) = Document::parse(source, file)?.read::<Hosts>()?;
        for (index, server) in hosts.servers.iter().enumerate() {
            server.check(&places)?;
            if hosts.servers[..index].iter().any(|other| other.name == server.name) {
                return Err(server.wrong(&places, "name", "two servers have this name"));
            }
        }
        Ok(hosts)
    }

    /// Servers of a role, in order.
    pub fn of(&self, role: Role) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(move |server| server.role == role)
    }

    /// Whether these are the servers of `topology`; `file` is named in messages.
    ///
    /// # Errors
    /// The first number that differs, and what is missing.
    pub fn fits(&self, topology: &Topology, file: &str) -> Result<(), Diagnostic> {
        let wrong = |key: &str, problem: String| {
            let place = Place::File { file: file.to_owned(), line: None };
            Diagnostic::new(place, key, problem)
        };
        let sides = [
            (Role::Generator, "generators", topology.generator_servers, topology.generator_cores),
            (Role::Sut, "sut", topology.sut_servers, topology.sut_cores),
        ];
        for (role, key, servers, cores) in sides {
            let there = self.of(role).count();
            if there != usize::from(servers) {
                let problem = format!("{there} of role \"{role}\", and the scenario has {servers}");
                return Err(wrong("server", problem)
                    .remedy(format!("Set topology.{key}.servers to {there}, or list others.")));
            }
            for server in self.of(role) {
                let lists = [("ports", server.ports.len()), ("cpus", server.cpus.len())];
                for (name, count) in lists {
                    let optional = name == "cpus" && count == 0;
                    if count != usize::from(cores) && !optional {
                        let key = format!("server.{}.{name}", server.name);
                        let problem = format!("{count}, and the scenario has {cores} cores");
                        return Err(wrong(&key, problem).expected("one for each core"));
                    }
                }
            }
        }
        let generators = topology.generators();
        if self.network.gateway.is_none() && generators > 1 {
            let problem = format!("missing, and there are {generators} generator cores");
            return Err(wrong("network.gateway", problem)
                .expected("the Ethernet address of the router that shares out what comes back"));
        }
        let memif = |server: &Server| server.ports.iter().any(|it| matches!(it, Port::Memif(_)));
        if let Some(server) = self.servers.iter().find(|server| memif(server))
            && topology.pairs() > 1
        {
            let key = format!("server.{}.ports", server.name);
            let problem = "shared memory joins one generator core and one SUT core";
            return Err(wrong(&key, problem.to_owned()).expected("ports on a network"));
        }
        Ok(())
    }
}

impl Server {
    fn wrong(&self, places: &Places, key: &str, problem: impl Into<Box<str>>) -> Diagnostic {
        let key = format!("server.{}.{key}", self.name);
        Diagnostic::new(places.of(&key), &key, problem)
    }

    fn check(&self, places: &Places) -> Result<(), Diagnostic> {
        match (&self.agent, &self.ssh) {
            (Some(_), Some(_)) | (None, None) => {
                let problem = "it is not said how the server is reached";
                let expected = "either agent = \"host:port\" or ssh = \"user@host\"";
                return Err(self.wrong(places, "agent", problem).expected(expected));
            }
            (Some(agent), None) if host_of(agent).is_none() => {
                let problem = format!("`{agent}` is no address");
                let expected = "host:port, such as 192.0.2.7:7800";
                return Err(self.wrong(places, "agent", problem).expected(expected));
            }
            (Some(agent), None) if self.tls.is_none() && !is_loopback(agent) => {
                let problem = format!("`{agent}` is no loopback address and there is no tls");
                let remedy = "Make keys with `krono agent keys --out DIR`, and say tls = \
                              \"DIR/controller\".";
                return Err(self.wrong(places, "agent", problem).remedy(remedy));
            }
            (None, Some(ssh)) if ssh.is_empty() || ssh.starts_with('-') => {
                let problem = format!("`{ssh}` is nobody to log in as");
                return Err(self.wrong(places, "ssh", problem).expected("user@host"));
            }
            (Some(_), None) if !self.ssh_options.is_empty() || self.krono.is_some() => {
                let problem = "this is for servers reached by ssh";
                let key = if self.krono.is_some() { "krono" } else { "ssh_options" };
                return Err(self.wrong(places, key, problem).remedy("Remove it."));
            }
            _ => {}
        }
        if self.tls.is_some() && self.ssh.is_some() {
            let problem = "ssh has keys of its own";
            return Err(self.wrong(places, "tls", problem).remedy("Remove it."));
        }
        Ok(())
    }
}

fn host_of(address: &str) -> Option<&str> {
    let (host, port) = address.rsplit_once(':')?;
    port.parse::<u16>().ok().filter(|&port| port > 0)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some(host).filter(|host| !host.is_empty())
}

/// Whether an address is one of this machine's own, by what it says; names are not looked up.
fn is_loopback(address: &str) -> bool {
    let host = host_of(address).unwrap_or_default();
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[[server]]
name = "left"
role = "generator"
agent = "192.0.2.7:7800"
tls = "keys/controller"
ports = [{ pci = "0000:3b:02.0" }, { pci = "0000:3b:02.1" }]
cpus = [2, 3]

[[server]]
name = "right"
role = "sut"
ssh = "root@right"
ssh_options = ["-p", "2222"]
ports = [{ af_packet = "eth1" }]
"#;

    fn topology(servers: u16, cores: u16) -> Topology {
        Topology {
            generator_servers: servers,
            generator_cores: cores,
            sut_servers: 1,
            sut_cores: 1,
            sut_stands_for: 1,
            sut_kind: crate::plan::SutKind::Krononat,
            polling: crate::plan::Polling::Busy,
        }
    }

    #[test]
    fn a_file_says_how_each_server_is_reached() {
        let hosts = Hosts::parse(FILE, "rack.toml").expect("a file");
        let left = hosts.of(Role::Generator).next().expect("one");
        assert_eq!((left.name.as_str(), &left.cpus[..]), ("left", &[2, 3][..]));
        assert_eq!(left.ports[1], Port::Pci("0000:3b:02.1".to_owned()));
        let right = hosts.of(Role::Sut).next().expect("one");
        assert_eq!(right.ports, [Port::AfPacket("eth1".to_owned())]);
        assert_eq!(right.ssh_options, ["-p", "2222"]);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let table = [
            ("name = \"left\"", "colour = 1", "rack.toml:3: server[0].", "colour"),
            ("\"generator\"", "\"router\"", "rack.toml:4: ", "router"),
            (
                "tls = \"keys/controller\"\n",
                "",
                "rack.toml:5: server.left.agent",
                "krono agent keys",
            ),
            ("192.0.2.7:7800", "192.0.2.7", "rack.toml:5: server.left.agent", "host:port"),
            ("ssh = \"root@right\"\n", "", "server.right.agent", "either agent"),
            ("root@right", "-oProxyCommand=x", "server.right.ssh", "user@host"),
            ("\"right\"", "\"left\"", "server.left.name", "two servers"),
            ("ssh_options", "tls = \"k\"\nssh_options", "server.right.tls", "Remove it"),
            ("af_packet", "xdp", "rack.toml:15: ", "xdp"),
        ];
        for (good, bad, place, said) in table {
            let text = FILE.replacen(good, bad, 1);
            assert_ne!(text, FILE);
            let error = Hosts::parse(&text, "rack.toml").expect_err(bad).to_string();
            assert!(error.contains(place) && error.contains(said), "{bad}: {error}");
        }
        let plain =
            FILE.replace("192.0.2.7", "127.0.0.1").replace("tls = \"keys/controller\"\n", "");
        assert!(Hosts::parse(&plain, "rack.toml").is_ok());
    }

    #[test]
    fn a_file_has_the_servers_of_the_plan_or_says_what_differs() {
        let hosts = Hosts::parse(FILE, "rack.toml").expect("a file");
        let error = |hosts: &Hosts, servers, cores| {
            hosts.fits(&topology(servers, cores), "rack.toml").expect_err("other").to_string()
        };
        assert!(error(&hosts, 2, 2).contains("topology.generators.servers to 1"));
        assert!(error(&hosts, 1, 1).contains("server.left.ports: 2"));
        assert!(error(&hosts, 1, 2).contains("network.gateway: missing"));
        let gateway = format!("[network]\ngateway = \"02:00:00:00:00:fe\"\n{FILE}");
        let hosts = Hosts::parse(&gateway, "rack.toml").expect("a file");
        assert_eq!(hosts.fits(&topology(1, 2), "rack.toml"), Ok(()));
        let memif = Hosts::parse(&gateway.replace("af_packet", "memif"), "rack.toml");
        assert!(error(&memif.expect("a file"), 1, 2).contains("shared memory joins"));
    }
}
