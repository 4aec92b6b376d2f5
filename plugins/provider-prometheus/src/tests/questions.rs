use super::*;
use sluice_plugin_sdk::{Auth, Disposition, Pair, Tls};

fn header<'a>(request: &'a HttpRequest, name: &str) -> Vec<&'a str> {
    let same = |pair: &&Pair| pair.name.eq_ignore_ascii_case(name);
    request
        .headers
        .iter()
        .filter(same)
        .map(|pair| pair.value.as_str())
        .collect()
}

// MP-PROM-004
#[test]
fn a_moment_is_asked_for_with_post_and_the_decision_clock() {
    let request = asked(simple());
    assert_eq!(
        (request.method.as_str(), request.url.as_str()),
        ("POST", "http://prometheus:9090/api/v1/query")
    );
    assert_eq!(
        header(&request, "content-type"),
        ["application/x-www-form-urlencoded"]
    );
    assert_eq!(
        body(simple()),
        "query=up%7Ba%3D%22b+c%22%7D+%2B+1&time=1773051300.25"
    );
    assert_eq!((request.auth, request.tls), (None, None));
}

// MP-PROM-004, EXPR-009
#[test]
fn a_range_is_asked_for_with_start_end_and_step() {
    let range = json!({"start": "now() - duration(\"1h\")", "end": "now()", "step": "1m30s"});
    let config = with(json!({"query": "up", "rangeQuery": range}));
    assert_eq!(
        asked(config.clone()).url,
        "http://prometheus:9090/api/v1/query_range"
    );
    assert_eq!(
        body(config),
        "end=1773051300.25&query=up&start=1773047700.25&step=90"
    );
}

// MP-PROM-004
#[test]
fn a_server_that_refuses_post_is_asked_with_get() {
    for status in [405, 501] {
        let answer = move |request: &HttpRequest| match request.method.as_str() {
            "POST" => respond(status, "no"),
            _ => respond(200, ONE),
        };
        let config = json!({"address": "http://prometheus:9090/?tenant=a%20b", "query": "up"});
        let (measured, requests) = measure(&mut given(config).answering(answer)).unwrap();
        assert_eq!(measured.shown, "1");
        let urls: Vec<_> = requests
            .iter()
            .map(|request| request.url.as_str())
            .collect();
        assert_eq!(
            urls,
            [
                "http://prometheus:9090/api/v1/query?tenant=a%20b",
                "http://prometheus:9090/api/v1/query?query=up&tenant=a+b&time=1773051300.25",
            ]
        );
        assert_eq!(
            (requests[1].method.as_str(), &requests[1].body),
            ("GET", &None)
        );
        assert!(header(&requests[1], "content-type").is_empty());
    }
}

// MP-PROM-002
#[test]
fn the_path_of_the_address_is_kept() {
    for (address, url) in [
        ("https://host", "https://host/api/v1/query"),
        ("https://host/", "https://host/api/v1/query"),
        (
            "https://host:9090/select/0//prometheus/",
            "https://host:9090/select/0/prometheus/api/v1/query",
        ),
        (
            "https://user:pw@[::1]:9090/a/../b#x",
            "https://user:pw@[::1]:9090/b/api/v1/query",
        ),
    ] {
        assert_eq!(asked(json!({"address": address})).url, url);
    }
}

// MP-PROM-002
#[test]
fn the_administrators_address_is_used_where_the_metric_has_none() {
    for config in [
        json!({"query": "up"}),
        json!({"query": "up", "address": ""}),
    ] {
        let mut given = given(config)
            .setting("address", "http://global:1")
            .answering(|_| respond(200, ONE));
        assert_eq!(
            measure(&mut given).unwrap().1[0].url,
            "http://global:1/api/v1/query"
        );
    }
}

// MP-PROM-002
#[test]
fn an_address_that_is_missing_or_none_is_an_error_of_the_configuration() {
    let check = |config: Value, message: &str| {
        let error = error(config);
        assert_eq!(error.disposition, Disposition::InvalidConfig);
        assert_eq!(
            (error.field.as_deref(), error.message.as_str()),
            (Some("address"), message)
        );
        assert!(error.metadata.is_empty());
    };
    check(
        json!({"query": "up"}),
        "prometheus address is not configured",
    );
    for address in [
        "prometheus:9090",
        "/path",
        "http://",
        "http:///path",
        "1ttp://a",
        "http://a b",
        "http://host:x",
        "://a",
    ] {
        check(
            json!({"query": "up", "address": address}),
            "prometheus address is not is url format",
        );
    }
    let mut given = given(json!({})).setting("address", "nowhere");
    assert_eq!(
        measure(&mut given).unwrap_err().message,
        "prometheus address is not is url format"
    );
}

// MP-PROM-003
#[test]
fn a_query_must_be_answered_in_thirty_seconds_or_what_the_metric_says() {
    assert_eq!(asked(simple()).timeout, Some(30_000));
    assert_eq!(asked(with(json!({"timeout": 5}))).timeout, Some(5_000));
    assert_eq!(asked(with(json!({"timeout": 0}))).timeout, Some(0));
    assert_eq!(
        asked(with(json!({"timeout": i64::MAX}))).timeout,
        Some(u32::MAX)
    );
    let error = error(with(json!({"timeout": -1})));
    assert_eq!(error.message, "prometheus timeout should not be negative");
    assert_eq!(error.field.as_deref(), Some("timeout"));
}

// MP-PROM-001, MP-PROM-007
#[test]
fn headers_are_sent_and_the_last_of_one_name_counts() {
    let headers = json!([{"key": "X-Scope", "value": "a"}, {"key": "Authorization", "value": "Bearer t"}, {"key": "x-scope", "value": "b"}]);
    let basic = json!({"basicAuth": {"username": "u", "password": "p"}});
    let request = asked(with(json!({"headers": headers, "authentication": basic})));
    assert_eq!(header(&request, "x-scope"), ["b"]);
    assert_eq!(header(&request, "authorization"), ["Bearer t"]);
    assert_eq!(
        request.auth, None,
        "a header of the user's own is what counts"
    );
}

// MP-PROM-007
#[test]
fn insecure_accepts_any_certificate() {
    assert_eq!(
        asked(with(json!({"insecure": true}))).tls,
        Some(Tls {
            insecure_skip_verify: true,
            ca_pem: None
        })
    );
    assert_eq!(asked(with(json!({"insecure": false}))).tls, None);
}

fn auth(config: Value) -> String {
    match asked(config).auth {
        None => "none".to_owned(),
        Some(Auth::Basic(basic)) => format!("basic {} {}", basic.username, basic.password),
        Some(Auth::Oauth2(client)) => {
            format!(
                "oauth2 {} {} {} {:?}",
                client.token_url, client.client_id, client.client_secret, client.scopes
            )
        }
        Some(Auth::AwsSigv4(aws)) => format!(
            "sigv4 {} {:?} {:?} {:?}",
            aws.service, aws.region, aws.role_arn, aws.profile
        ),
        Some(other) => panic!("{other:?}"),
    }
}

// MP-PROM-007
#[test]
fn credentials_are_described_to_the_host() {
    let basic = json!({"username": "u", "password": "p"});
    let oauth2 =
        json!({"tokenUrl": "https://t", "clientId": "i", "clientSecret": "s", "scopes": ["a"]});
    let sigv4 = json!({"region": "eu-west-1", "roleArn": "arn"});
    let amazon = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/w";
    let of = |authentication: Value| auth(with(json!({"authentication": authentication})));
    let at_amazon =
        |authentication: Value| auth(json!({"address": amazon, "authentication": authentication}));
    let signed = r#"sigv4 aps Some("eu-west-1") Some("arn") None"#;

    assert_eq!(of(json!({"basicAuth": basic})), "basic u p");
    assert_eq!(
        of(json!({"oauth2": oauth2})),
        r#"oauth2 https://t i s ["a"]"#
    );
    assert_eq!(
        of(json!({"oauth2": oauth2, "basicAuth": basic})),
        r#"oauth2 https://t i s ["a"]"#
    );
    assert_eq!(at_amazon(json!({"sigv4": sigv4})), signed);
    assert_eq!(
        at_amazon(json!({"sigv4": sigv4, "oauth2": oauth2, "basicAuth": basic})),
        signed
    );
    assert_eq!(
        at_amazon(json!({"sigv4": {"profile": "dev"}})),
        r#"sigv4 aps None None Some("dev")"#
    );
    assert_eq!(at_amazon(json!({"sigv4": {}})), "none");
    assert_eq!(
        at_amazon(json!({"sigv4": {"region": "", "roleArn": ""}, "basicAuth": basic})),
        "basic u p"
    );
    assert_eq!(
        of(json!({"sigv4": sigv4})),
        "none",
        "only Amazon's addresses are signed for"
    );
    assert_eq!(
        of(json!({"basicAuth": {"username": "", "password": ""}, "oauth2": {"clientId": "i"}})),
        "none"
    );
}

// MP-PROM-007
#[test]
fn half_a_credential_is_an_error_of_the_configuration() {
    let check = |authentication: Value, field: &str, message: &str| {
        let error = error(with(json!({"authentication": authentication})));
        assert_eq!(error.disposition, Disposition::InvalidConfig);
        assert_eq!(
            (error.field.as_deref(), error.message.as_str()),
            (Some(field), message)
        );
    };
    let basic = "missing mandatory parameter in metric for basic auth setup: ";
    check(
        json!({"basicAuth": {"username": "u"}}),
        "authentication.basicAuth.password",
        &format!("{basic}password"),
    );
    check(
        json!({"basicAuth": {"password": "p"}}),
        "authentication.basicAuth.username",
        &format!("{basic}username"),
    );
    let oauth2 = "missing mandatory parameter in metric for OAuth2 setup";
    check(
        json!({"oauth2": {"tokenUrl": "https://t", "clientId": "i"}}),
        "authentication.oauth2",
        oauth2,
    );
    check(
        json!({"oauth2": {"tokenUrl": "https://t", "clientSecret": "s"}}),
        "authentication.oauth2",
        oauth2,
    );
}

#[test]
fn configurations_that_cannot_be_read_are_named() {
    let check = |config: Value, field: &str| {
        let error = error(with(config));
        assert_eq!(
            (error.disposition, error.field.as_deref()),
            (Disposition::InvalidConfig, Some(field))
        );
    };
    check(json!({"timeout": "5s"}), "timeout");
    check(json!({"headers": [{"key": "a"}]}), "headers[0]");
    check(
        json!({"authentication": {"basic": {}}}),
        "authentication.basic",
    );
    check(
        json!({"rangeQuery": {"begin": "now()"}}),
        "rangeQuery.begin",
    );
}

// EXPR-009, MP-PROM-006
#[test]
fn a_range_that_cannot_be_understood_is_an_error_that_keeps_the_query() {
    let check = |range: Value, field: &str, message: &str| {
        let error = error(with(json!({"query": "up", "rangeQuery": range})));
        assert_eq!(
            (error.field.as_deref(), error.message.as_str()),
            (Some(field), message)
        );
        assert_eq!(error.metadata, [Pair::new("ResolvedPrometheusQuery", "up")]);
    };
    check(
        json!({"start": "now() - duration(\"??\")", "end": "now()", "step": "1m"}),
        "rangeQuery.start",
        "failed to parse rangeQuery.start as time: time: invalid duration \"??\"",
    );
    check(
        json!({"start": "now()", "end": "duration(\"1m\")", "step": "1m"}),
        "rangeQuery.end",
        "failed to parse rangeQuery.end as time: expected time.Time, but got time.Duration",
    );
    check(
        json!({"start": "now()", "step": "1m"}),
        "rangeQuery.end",
        "failed to parse rangeQuery.end as time: unexpected token EOF",
    );
    check(
        json!({"start": "now()", "end": "now()", "step": "??"}),
        "rangeQuery.step",
        "failed to parse rangeQuery.step as duration: time: invalid duration \"??\"",
    );
}

#[test]
fn nothing_is_open_so_nothing_is_to_be_cancelled() {
    let pass = given(simple())
        .measure::<Prometheus>(Lifecycle::Cancel, &facts())
        .unwrap();
    assert_eq!((pass.rounds, pass.requests.len()), (1, 0));
    assert_eq!(pass.answer, Reply::finished(Measurement::empty()));
}
