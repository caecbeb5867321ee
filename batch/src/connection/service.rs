//! `pg_service.conf`: named sets of connection parameters (PostgreSQL's documentation, "The Connection Service File").
//!
//! Own code, since the two crates there are either take a few keywords only and panic on a bad port, or lack libpq's
//! precedence; it is a page of rules.

use super::keywords;
use super::text::Pairs;
use crate::failure::hinted;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// The parameters of `name`, from the first of `files` that has it. A file that is not there is passed over.
pub fn find(name: &str, files: &[PathBuf]) -> Result<Pairs> {
    for file in files {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).with_context(|| format!("reading the service file {}", file.display())),
        };
        if let Some(pairs) = section(&text, name).with_context(|| file.display().to_string())? {
            return Ok(pairs);
        }
    }
    let looked: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    Err(hinted(
        format!("no service `{name}` is defined"),
        format!("Looked in {}; PGSERVICEFILE names another file.", looked.join(" and ")),
    ))
}

/// The section's pairs; the first line of a keyword counts.
fn section(text: &str, name: &str) -> Result<Option<Pairs>> {
    let mut found: Option<Pairs> = None;
    for (n, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            if found.is_some() {
                break;
            }
            if line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) == Some(name) {
                found = Some(Pairs::new());
            }
            continue;
        }
        let Some(pairs) = &mut found else { continue };
        if line.starts_with("ldap") {
            bail!("line {n}: services in LDAP are not supported");
        }
        match line.split_once('=') {
            Some(("service", _)) => bail!("line {n}: a service can't name another"),
            Some((keyword, value)) if keywords::known(keyword) => {
                pairs.entry(keyword.to_owned()).or_insert_with(|| value.to_owned());
            }
            _ => bail!("line {n}: expected a keyword of libpq's, `=` and its value, without spaces around"),
        }
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FILE: &str = "# services\n[other]\nhost=x\n\n[shop]\r\n  host=db.example.org \nport=5433\nport=1\n#user=no\n\
                        password=a=b # c\n[last]\nhost=y\n";

    #[test]
    fn a_section_ends_where_the_next_begins_and_its_first_line_counts() {
        let pairs = section(FILE, "shop").unwrap().unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("host", "db.example.org"), ("password", "a=b # c"), ("port", "5433")]);
        assert!(section(FILE, "sho").unwrap().is_none());
    }

    #[test]
    fn a_faulty_line_is_told_by_its_number_only() {
        for (text, told) in [
            ("[s]\nhots=secret", "line 2"),
            ("[s]\n\nservice=secret", "line 3"),
            ("[s]\nldap://secret", "line 2"),
            ("[s]\nsecret", "line 2"),
        ] {
            let complaint = format!("{:#}", section(text, "s").unwrap_err());
            assert!(complaint.contains(told) && !complaint.contains("secret"), "{complaint}");
        }
        assert!(section("[t]\nrubbish\n[s]\nhost=a", "s").unwrap().is_some(), "other sections are not read");
    }
}
