//! Writing the page as a whole or not at all: beside its place, then renamed into it.

use anyhow::{Context, Result, bail};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The folder a file is to lie in.
fn folder(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether a page could be written there, told before it is made.
pub fn check(file: &Path) -> Result<()> {
    if file.is_dir() {
        bail!("`{}` is a folder; name a file in it", file.display());
    }
    let folder = folder(file);
    if !folder.is_dir() {
        bail!("there is no folder `{}`; make it first", folder.display());
    }
    Ok(())
}

pub fn write(file: &Path, html: &str) -> Result<()> {
    check(file)?;
    let failed = || format!("cannot write `{}`", file.display());
    // Readable as any new file is: the page holds counts alone.
    let mut new = tempfile::Builder::new()
        .prefix(".consent-report-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder(file))
        .with_context(failed)?;
    new.write_all(html.as_bytes()).with_context(failed)?;
    new.as_file().sync_all().with_context(failed)?;
    new.persist(file).with_context(failed)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_page_replaces_the_older_one_and_never_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("page.html");
        write(&file, "first").unwrap();
        write(&file, "second").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "second");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        assert!(check(dir.path()).unwrap_err().to_string().contains("is a folder"));
        assert!(
            write(&dir.path().join("no/page.html"), "x")
                .unwrap_err()
                .to_string()
                .contains("there is no folder")
        );
        assert!(dir.path().is_dir());
    }
}
