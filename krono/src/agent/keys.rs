//! Certificates by which agents and controllers know each other: `krono agent keys --out DIR`.
//!
//! An authority is made for the occasion and signs one certificate for all agents and one for
//! controllers; its key is not kept, so nobody can add to them later. Either can be taken only for
//! what it is: whoever steals an agent's key commands no other agent.

use crate::exit::Refusal;
use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Folder for agents, below the one that was asked for.
pub const FOR_AGENTS: &str = "agent";

/// Folder for controllers.
pub const FOR_CONTROLLERS: &str = "controller";

/// One side's files, read.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The authority's certificate.
    pub authority: String,
    /// This side's certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Keys {
    /// Reads `ca.pem`, `cert.pem` and `key.pem` in `folder`.
    ///
    /// # Errors
    /// When one cannot be read; says how to make them.
    pub fn read(folder: &Path) -> Result<Keys, Refusal> {
        let read = |name: &str| {
            let file = folder.join(name);
            fs::read_to_string(&file).map_err(|error| {
                let remedy = "name a folder that `krono agent keys` made";
                Refusal::Usage(format!("{}: {error}; {remedy}", file.display()))
            })
        };
        Ok(Keys {
            authority: read("ca.pem")?,
            certificate: read("cert.pem")?,
            key: read("key.pem")?,
        })
    }
}

/// Makes both sides' folders below `out` and returns them, agents' first.
///
/// # Errors
/// [`Refusal::Usage`] when one is there already; otherwise when the file system refuses.
pub fn make(out: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let folders = [FOR_AGENTS, FOR_CONTROLLERS].map(|name| out.join(name));
    if let Some(taken) = folders.iter().find(|folder| folder.exists()) {
        let text = format!("{}: exists; name a new directory", taken.display());
        return Err(Refusal::Usage(text).into());
    }
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "krono authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let uses = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let names = [super::AGENT_NAME, "krono-controller"];
    for ((folder, usage), name) in folders.iter().zip(uses).zip(names) {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?.pem();
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        write(&folder.join("ca.pem"), &authority, 0o644)?;
        write(&folder.join("cert.pem"), &certificate, 0o644)?;
        write(&folder.join("key.pem"), &key.serialize_pem(), 0o600)?;
    }
    Ok(folders)
}

fn write(file: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
    opened
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_their_owners_alone_and_never_written_over() {
        let out = tempfile::tempdir().expect("a folder");
        let folders = make(out.path()).expect("keys");
        let [agents, controllers] = folders.each_ref().map(|f| Keys::read(f).expect("files"));
        assert_eq!(agents.authority, controllers.authority);
        assert_ne!(agents.certificate, controllers.certificate);
        let mode = fs::metadata(folders[0].join("key.pem")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let refused = make(out.path()).expect_err("taken").to_string();
        assert!(refused.contains("exists"), "{refused}");
        assert_eq!(Keys::read(&folders[0]).expect("files").key, agents.key);
    }
}
