//! Any text as krononat's configuration: a configuration or a message that names what is wrong.
//! What is accepted survives being written and read, and if it is small, makes its cores.

#![no_main]

use krononat::config::{Config, Kind};
use krononat::worker;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

/// Largest room that is made: what a core takes is resident at once.
const CONNECTIONS_MAX: u32 = 1 << 12;
/// Most subscribers of a core that is made.
const SUBSCRIBERS_MAX: u64 = 1 << 11;

fuzz_target!(|text: &str| {
    let config = match Config::parse(text, Path::new("fuzz.toml")) {
        Ok(config) => config,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    // TOML's integers have a sign.
    if config.seed <= i64::MAX as u64 {
        let written = toml::to_string(&config).expect("a configuration can be written");
        let read = Config::parse(&written, Path::new("written.toml"));
        assert_eq!(read.expect("what was written can be read"), config);
    }
    let room = config.room();
    let small = [room.mappings, room.shared_sessions, config.connections6_max];
    if config.kind != Kind::Krononat || small.iter().any(|&count| count > CONNECTIONS_MAX) {
        return;
    }
    for core in config.cores.iter().take(2) {
        let count: u64 = core.subscribers.iter().map(|net| 1 << (32 - net.prefix_len())).sum();
        if count <= SUBSCRIBERS_MAX && config.port_block <= 1024 {
            match worker::pipeline(&config, core) {
                Ok(pipeline) => assert!(pipeline.connections().is_empty()),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
});
