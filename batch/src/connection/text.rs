//! Connection strings: `keyword=value …` or `postgresql://…`, as libpq takes them apart (PostgreSQL's documentation,
//! "Connection Strings"). The parser of rust-postgres refuses what it has no use for itself, such as `sslrootcert` and
//! `service`. No message repeats what may be part of a password.

use crate::failure::hinted;
use anyhow::{Result, bail};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

/// Keyword to value, neither checked yet.
pub type Pairs = BTreeMap<String, String>;

pub fn parse(text: &str) -> Result<Pairs> {
    match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        Some(rest) => url(rest),
        None if text.contains('=') => key_values(text),
        None => Ok(Pairs::from([("dbname".to_owned(), text.to_owned())])),
    }
}

/// Stores a pair whose keyword libpq knows. An unknown one is named only if it can't be a piece of a password.
fn store(pairs: &mut Pairs, keyword: &str, value: String, nameable: bool) -> Result<()> {
    if !super::keywords::known(keyword) {
        let name = if nameable { format!(" `{keyword}`") } else { String::new() };
        return Err(hinted(
            format!("unknown keyword{name} in the connection string"),
            "The keywords are libpq's: host, port, dbname, user, password, sslmode, service… A value with spaces goes \
             in single quotes, and in a URL every character that is not a letter or digit as %XX.",
        ));
    }
    pairs.insert(keyword.to_owned(), value);
    Ok(())
}

fn key_values(text: &str) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.peek().is_none() {
            return Ok(pairs);
        }
        let mut keyword = String::new();
        while let Some(c) = rest.next_if(|c| *c != '=' && !c.is_whitespace()) {
            keyword.push(c);
        }
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.next() != Some('=') {
            return Err(hinted(
                "a word without `=` in the connection string",
                "Give keyword=value pairs with spaces between; a value with spaces goes in single quotes.",
            ));
        }
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = rest.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match rest.next_if(|c| quoted || !c.is_whitespace()) {
                Some('\\') => value.extend(rest.next()),
                Some('\'') if quoted => break,
                Some(c) => value.push(c),
                None if quoted => bail!("a quoted value in the connection string does not end"),
                None => break,
            }
        }
        let nameable = !pairs.contains_key("password");
        store(&mut pairs, &keyword, value, nameable)?;
    }
}

fn url(rest: &str) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    let (front, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    // Before the first slash, or a socket's path given as a host would hold one: those are written with %2F.
    let (authority, dbname) = front.split_once('/').unwrap_or((front, ""));
    let (login, hosts) = authority.rsplit_once('@').map_or((None, authority), |(l, h)| (Some(l), h));
    if let Some(login) = login {
        let (user, password) = login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)));
        put(&mut pairs, "user", user)?;
        put(&mut pairs, "password", password.unwrap_or_default())?;
    }
    let mut names = Vec::new();
    let mut ports = Vec::new();
    for one in hosts.split(',') {
        let (name, port) = match one.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            Some((name, after)) => (name, after.strip_prefix(':').unwrap_or(after)),
            None => one.split_once(':').unwrap_or((one, "")),
        };
        names.push(decoded(name)?);
        ports.push(port);
    }
    if names.iter().any(|n| !n.is_empty()) {
        pairs.insert("host".into(), names.join(","));
    }
    if ports.iter().any(|p| !p.is_empty()) {
        pairs.insert("port".into(), ports.join(","));
    }
    put(&mut pairs, "dbname", dbname)?;
    for one in parameters.split('&').filter(|p| !p.is_empty()) {
        let Some((keyword, value)) = one.split_once('=') else {
            bail!("a parameter without `=` in the connection URL");
        };
        let (keyword, value) = (decoded(keyword)?, decoded(value)?);
        // As JDBC writes it.
        if (keyword.as_str(), value.as_str()) == ("ssl", "true") {
            pairs.insert("sslmode".into(), "require".into());
        } else {
            store(&mut pairs, &keyword, value, !parameters.contains('@'))?;
        }
    }
    Ok(pairs)
}

fn put(pairs: &mut Pairs, keyword: &str, raw: &str) -> Result<()> {
    if !raw.is_empty() {
        pairs.insert(keyword.into(), decoded(raw)?);
    }
    Ok(())
}

fn decoded(raw: &str) -> Result<String> {
    let mut digits = raw.split('%').skip(1);
    let whole = digits.all(|d| d.len() >= 2 && d.bytes().take(2).all(|b| b.is_ascii_hexdigit()));
    match percent_decode_str(raw).decode_utf8() {
        Ok(text) if whole && !text.contains('\0') => Ok(text.into_owned()),
        _ => Err(hinted(
            "a part of the connection URL is not percent-encoded",
            "Write % itself as %25, and what is not a letter or digit as the %XX of its UTF-8 bytes.",
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().collect()
    }

    fn is(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        assert_eq!(read(text), expected, "{text}");
    }

    #[test]
    fn key_value_strings_are_taken_apart_as_libpq_does() {
        is("host=a  port = 5433 dbname=shop", &[("dbname", "shop"), ("host", "a"), ("port", "5433")]);
        is(r"password='it\'s \\ here' user=u\ v", &[("password", r"it's \ here"), ("user", "u v")]);
        is("user='' host=a host=b", &[("host", "b"), ("user", "")]);
        is("shop", &[("dbname", "shop")]);
    }

    #[test]
    fn urls_are_taken_apart_as_libpq_does() {
        is("postgresql://", &[]);
        is(
            "postgres://u%40x:p%3Aw@a:1,[::1]:2,c/shop?sslmode=verify-full&application_name=x%20y",
            &[
                ("application_name", "x y"),
                ("dbname", "shop"),
                ("host", "a,::1,c"),
                ("password", "p:w"),
                ("port", "1,2,"),
                ("sslmode", "verify-full"),
                ("user", "u@x"),
            ],
        );
        is(
            "postgresql:///shop?host=/tmp&port=5&ssl=true",
            &[("dbname", "shop"), ("host", "/tmp"), ("port", "5"), ("sslmode", "require")],
        );
        is("postgresql://%2Fvar%2Frun/shop", &[("dbname", "shop"), ("host", "/var/run")]);
    }

    #[test]
    fn no_complaint_repeats_a_password() {
        for text in [
            "password=my secret",
            "password=my secret=x",
            "password='my secret",
            "postgresql://u:secret%@h/",
            "postgresql://u:my?secret=1@h/db",
            "postgresql://u:p@h/db?secret",
        ] {
            let complaint = crate::failure::Failure::of(&parse(text).unwrap_err()).text();
            assert!(!complaint.contains("secret"), "{complaint}");
        }
        let complaint = format!("{:#}", parse("hots=a").unwrap_err());
        assert!(complaint.contains("`hots`"), "{complaint}");
    }
}
