//! Addresses of the web as anybody may see them.

/// Whose an address is and what is asked for, but not by which name, word or token: scheme, host, port and path. Where
/// one makes no sense an ellipsis stands for the rest.
#[must_use]
pub fn shown(address: &str) -> String {
    let parts = address.split_once("://").filter(|(scheme, _)| is_scheme(scheme));
    let Some((scheme, rest)) = parts else {
        let may_hide = address.contains(['@', '?', '#']);
        return if may_hide { "…".to_owned() } else { address.to_owned() };
    };
    let (rest, _) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let (authority, path) = rest.split_at(rest.find(['/', '\\']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // Nobody knows where in it credentials end.
    if !is_host(host) || path.contains('@') {
        return format!("{scheme}://…");
    }
    format!("{scheme}://{host}{path}")
}

fn is_scheme(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    !text.is_empty() && text.bytes().all(fits)
}

/// Whether it is a host, and a port if anything is behind it.
fn is_host(text: &str) -> bool {
    // Colons of IPv6 stand in brackets.
    let (name, port) = match text.rsplit_once(']') {
        Some((name, port)) => (name, port.strip_prefix(':').unwrap_or(port)),
        None => text.split_once(':').unwrap_or((text, "")),
    };
    !name.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_credentials() {
        for (address, expected) in [
            ("http://host/x.json", "http://host/x.json"),
            ("http://127.0.0.1:1", "http://127.0.0.1:1"),
            ("http://ann:TOKEN@127.0.0.1:1/x?token=TOKEN", "http://127.0.0.1:1/x"),
            ("https://ann:TOKEN@host:8443/a/x.json?t=TOKEN#TOKEN", "https://host:8443/a/x.json"),
            ("https://TOKEN@[::1]:80?TOKEN", "https://[::1]:80"),
            ("https://[fd00::1]/x", "https://[fd00::1]/x"),
            ("ftp://ann:TO@KEN@host/x", "ftp://host/x"),
            ("http://ann:TO/KEN@host/x.json", "http://…"),
            ("http://ann:12/TOKEN@host/x.json", "http://…"),
            ("http://ann:TO?KEN@host/", "http://…"),
            ("http://ann:TOKEN", "http://…"),
            ("http://ann:TOKEN@/", "http://…"),
            ("http://", "http://…"),
            ("ann:TOKEN@host/x", "…"),
            ("ann:TOKEN@host/x?to=http://host", "…"),
            ("host/x?TOKEN", "…"),
            ("localhost:8080/health", "localhost:8080/health"),
            ("nope", "nope"),
        ] {
            assert_eq!(shown(address), expected, "{address}");
        }
    }
}
