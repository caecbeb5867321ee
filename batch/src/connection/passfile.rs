//! `~/.pgpass`: passwords by host, port, database and user (PostgreSQL's documentation, "The Password File").
//!
//! Own code: no crate that is kept reads it, and the rules are few.

use std::path::Path;

/// Whom a password is looked for.
pub struct Wanted<'a> {
    /// `localhost` stands for the default socket.
    pub host: &'a str,
    pub port: u16,
    pub dbname: &'a str,
    pub user: &'a str,
}

/// What the file has to say.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Password(String),
    /// The file isn't there, or has no line for this.
    Nothing,
    /// Why the file was not read, as libpq does not read it either.
    Ignored(String),
}

/// Looks in `file`, unless others than its owner can read it. `guarded`: it is in a folder that nobody else can enter,
/// systemd's for credentials, where the group's rights are the mask of an access list.
pub fn find(file: &Path, guarded: bool, wanted: &Wanted<'_>) -> Answer {
    use std::os::unix::fs::PermissionsExt;
    let Ok(about) = std::fs::metadata(file) else { return Answer::Nothing };
    if !about.is_file() {
        return Answer::Ignored(format!("the password file {} is no plain file", file.display()));
    }
    if !guarded && about.permissions().mode() & 0o077 != 0 {
        return Answer::Ignored(format!(
            "the password file {0} is not read: others than its owner may do something with it (chmod 600 {0})",
            file.display()
        ));
    }
    match std::fs::read(file) {
        Ok(bytes) => {
            look_up(&String::from_utf8_lossy(&bytes), wanted).map_or(Answer::Nothing, Answer::Password)
        }
        Err(e) => Answer::Ignored(format!("the password file {} can't be read: {e}", file.display())),
    }
}

/// The password of the first line that fits.
fn look_up(text: &str, wanted: &Wanted<'_>) -> Option<String> {
    let port = wanted.port.to_string();
    text.lines().find_map(|line| {
        if line.starts_with('#') {
            return None;
        }
        let mut rest = line;
        for value in [wanted.host, &port, wanted.dbname, wanted.user] {
            rest = after(rest, value)?;
        }
        Some(unescaped(rest))
    })
}

/// What follows the first field, if that is `value` or a lone `*`.
fn after<'a>(line: &'a str, value: &str) -> Option<&'a str> {
    let mut escaped = false;
    let end = line.find(|c| {
        let ends = c == ':' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let field = &line[..end];
    (field == "*" || unescaped(field) == value).then(|| &line[end + 1..])
}

/// A backslash takes the next character as it is.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        out.extend(if c == '\\' { rest.next() } else { Some(c) });
    }
    out
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn asked<'a>(host: &'a str, dbname: &'a str, user: &'a str) -> Wanted<'a> {
        Wanted { host, port: 5432, dbname, user }
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let file = "#db:5432:shop:night:comment\n\ndb:5433:shop:night:port\ndb:5432:shop:night:first\n\
                    *:*:*:night:any\n*:*:*:*:\n";
        let find = |host, dbname, user| look_up(file, &asked(host, dbname, user));
        assert_eq!(find("db", "shop", "night").as_deref(), Some("first"));
        assert_eq!(find("other", "shop", "night").as_deref(), Some("any"));
        assert_eq!(find("db", "shop", "day").as_deref(), Some(""));
        assert_eq!(look_up("db:5432:shop:night", &asked("db", "shop", "night")), None, "no password at all");
        assert_eq!(look_up("d*:5432:shop:night:x", &asked("db", "shop", "night")), None, "no patterns");
    }

    #[test]
    fn backslashes_protect_colons_and_themselves() {
        let line = r"\:\:1:5432:a\\b:n\:t:se\:cr\\et:x";
        assert_eq!(look_up(line, &asked("::1", r"a\b", "n:t")).as_deref(), Some(r"se:cr\et:x"));
        assert_eq!(look_up(r"\*:5432:a:b:x", &asked("*", "a", "b")).as_deref(), Some("x"));
        assert_eq!(look_up("h:5432:a:b:x\r\n", &asked("h", "a", "b")).as_deref(), Some("x"));
    }

    #[test]
    fn a_file_that_others_can_read_is_ignored_and_its_password_not_told() {
        let file = std::env::temp_dir().join(format!("pgpass-{}", std::process::id()));
        let wanted = asked("h", "a", "b");
        assert_eq!(find(&file, false, &wanted), Answer::Nothing);
        std::fs::write(&file, "h:5432:a:b:secret\n").unwrap();
        for (mode, read) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            match find(&file, false, &wanted) {
                Answer::Password(p) => assert!(read && p == "secret"),
                Answer::Ignored(why) => {
                    assert!(!read && why.contains("chmod 600") && !why.contains("secret"))
                }
                Answer::Nothing => panic!("{mode:o}"),
            }
        }
        assert_eq!(find(&file, true, &wanted), Answer::Password("secret".into()), "guarded by its folder");
        std::fs::remove_file(&file).unwrap();
    }
}
