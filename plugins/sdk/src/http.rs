//! Ways to make requests and to look into responses.

use crate::{HttpRequest, HttpResponse, Pair};

impl HttpRequest {
    /// A request without headers, body or credentials, with the host's own timeout.
    pub fn new(id: impl Into<String>, method: &str, url: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            auth: None,
            tls: None,
            timeout: None,
        }
    }

    /// The same request with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Pair::new(name, value));
        self
    }
}

impl HttpResponse {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|pair| pair.name.eq_ignore_ascii_case(name))
            .map(|pair| pair.value.as_str())
    }
}
