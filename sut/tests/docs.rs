//! The configuration of a server in the documentation is one.

use krononat::config::Config;
use std::path::Path;

#[test]
fn the_servers_of_the_lab_are_configured_by_what_the_page_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lab.md");
    let text = std::fs::read_to_string(&page).expect("docs/lab.md");
    let (_, rest) = text.split_once("```toml\n").expect("a configuration");
    let (block, _) = rest.split_once("```").expect("its end");
    let config = Config::parse(block, &page).expect("a valid configuration");
    assert_eq!((config.cores.len(), config.cores[1].shards.len()), (2, 2));
    assert!(config.cluster.is_some_and(|cluster| cluster.bgp.is_some()));
}
