//! What the clients talk to: nginx twice, iperf3, dnsmasq; and the files nginx offers.

use crate::namespace::Namespace;
use crate::process::{Service, wait_for};
use crate::topology::{DISTANT, SERVER, Topology};
use anyhow::Context;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a server may take to stand.
const PATIENCE: Duration = Duration::from_secs(10);

/// Name all of whose subdomains have the address [`ANSWER`].
pub(crate) const DOMAIN: &str = "many.test";

/// What dnsmasq answers for every name below [`DOMAIN`].
pub(crate) const ANSWER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

/// Name with a text record of [`LONG_TEXT`] bytes, more than the 512 that UDP may carry without
/// EDNS (RFC 1035 §4.2.1).
pub(crate) const LONG_NAME: &str = "long.test";

/// Bytes of text at [`LONG_NAME`].
pub(crate) const LONG_TEXT: usize = 800;

/// SHA-256 of some bytes.
pub(crate) type Hash = [u8; 32];

/// SHA-256 of `bytes`.
pub(crate) fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// A file nginx offers.
pub(crate) struct Body {
    /// Its name, and path on the server.
    pub(crate) name: &'static str,
    /// Its hash.
    pub(crate) hash: Hash,
}

/// The files nginx offers: smaller than a segment, some windows, and tens of megabytes.
pub(crate) struct Bodies {
    /// 1 KB.
    pub(crate) small: Body,
    /// 300 KB.
    pub(crate) middle: Body,
    /// 32 MiB.
    pub(crate) large: Body,
}

impl Bodies {
    /// Writes them, of random bytes.
    pub(crate) fn write(folder: &Path) -> anyhow::Result<Bodies> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut body = |name: &'static str, len: usize| -> anyhow::Result<Body> {
            let mut bytes = vec![0; len];
            random.fill_bytes(&mut bytes);
            std::fs::write(folder.join(name), &bytes)?;
            Ok(Body { name, hash: hash(&bytes) })
        };
        let (small, middle) = (body("small", 1_000)?, body("middle", 300_000)?);
        Ok(Bodies { small, middle, large: body("large", 32 << 20)? })
    }

    /// All of them.
    pub(crate) fn all(&self) -> [&Body; 3] {
        [&self.small, &self.middle, &self.large]
    }
}

/// All servers, until dropped.
pub(crate) struct Servers {
    _all: [Service; 4],
}

impl Servers {
    /// Starts them and waits until they answer in their own namespace.
    pub(crate) fn start(topology: &Topology, folder: &Path) -> anyhow::Result<Servers> {
        let file = write_nginx_config(folder)?;
        let server = &topology.server;
        let all = [
            nginx(server, &file)?,
            nginx(&topology.distant, &file)?,
            Service::start(server.command("iperf3").arg("-s"))?,
            Service::start(server.command("dnsmasq").args(dnsmasq_arguments()))?,
        ];
        // Not iperf3, which would take the question for a client.
        let distant = &topology.distant;
        for (host, address, port) in
            [(server, SERVER, 80), (server, SERVER, 53), (distant, DISTANT, 80)]
        {
            let to = SocketAddr::from((address, port));
            wait_for(&format!("server at {to}"), PATIENCE, || host.connect(to).is_ok())?;
        }
        Ok(Servers { _all: all })
    }
}

/// Starts nginx with a configuration that [`write_nginx_config`] wrote.
pub(crate) fn nginx(host: &Namespace, file: &Path) -> anyhow::Result<Service> {
    let pid = file.with_file_name(format!("nginx-{}.pid", host.name()));
    let mut command = host.command("nginx");
    command.args(["-e", "stderr", "-g", &format!("pid {};", pid.display()), "-c"]).arg(file);
    Service::start(&mut command).context("nginx")
}

/// Has nginx offer what is in `folder`.
pub(crate) fn write_nginx_config(folder: &Path) -> anyhow::Result<PathBuf> {
    let file = folder.join("nginx.conf");
    std::fs::write(&file, nginx_config(folder))?;
    Ok(file)
}

/// One process and no daemon, so that it ends when it is killed. Every transfer is a connection of
/// its own.
fn nginx_config(folder: &Path) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {folder}/temp-{kind};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\nerror_log stderr error;\n\
         events {{ worker_connections 2048; }}\n\
         http {{\n{temporary}  access_log off;\n  keepalive_timeout 0;\n  root {folder};\n  \
         client_max_body_size 64m;\n  server {{\n    listen 80 backlog=1024;\n    \
         location /many/ {{ try_files /small =404; }}\n    \
         location = /source {{ return 200 $remote_addr; }}\n    \
         location /upload/ {{ dav_methods PUT; create_full_put_path on; }}\n  }}\n}}\n"
    )
}

fn dnsmasq_arguments() -> Vec<String> {
    // A string of a text record holds 255 bytes (RFC 1035 §3.3).
    let text = vec!["x".repeat(200); LONG_TEXT / 200].join(",");
    let fixed = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"];
    let fixed = fixed.into_iter().chain(["--user=root", "--group=root", "--pid-file="]);
    let records =
        [format!("--address=/{DOMAIN}/{ANSWER}"), format!("--txt-record={LONG_NAME},{text}")];
    fixed.map(str::to_owned).chain(records).collect()
}
