//! The pages of docs/law say what the packs say: a lawyer reads the pages, the gate the packs.
#![allow(clippy::unwrap_used)]

use pg_consent_policy::pack;
use pg_consent_tests::lawdocs;
use std::path::Path;

#[test]
fn no_page_of_the_law_is_stale() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/law");
    let stale = lawdocs::stale(&dir, &lawdocs::pages(pack::builtin())).unwrap();
    assert!(stale.is_empty(), "run `make docs`; not what the packs say: {}", stale.join(", "));
}
