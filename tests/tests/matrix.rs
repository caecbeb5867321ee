//! No answer changes unnoticed: the packs answer typical contacts as the pages of tests/matrix say.
#![allow(clippy::unwrap_used)]

use pg_consent_policy::pack;
use pg_consent_tests::matrix;
use std::path::Path;

#[test]
fn no_answer_changes_unnoticed() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("matrix");
    let stale = matrix::stale(&dir, &matrix::pages(pack::builtin())).unwrap();
    let what = "run `make matrix`, read the difference and approve it by committing it";
    assert!(stale.is_empty(), "answers changed: {}; {what}", stale.join(", "));
}
