//! What leaves for a server on behalf of a plugin, and what never does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use sluice_engine::plugin::SecretPlaceholder;
use tokio::time::Instant;

use super::guest::{Does, Guest, get};
use super::world::{Received, Server, World};
use crate::http::{
    Auth, AwsIdentity, AwsRequest, Client, HttpFailure, HttpRequest, HttpResponse, InFlight,
    Requester,
};
use crate::limits::Limits;

/// A requester of a plugin that may ask the address of its configuration, `http://metrics:9090`.
fn requester(server: &Server) -> Requester {
    let grants =
        json!({ "http": ["configured-address", "https://api.example.com"], "secrets": ["bound"] });
    Requester {
        client: Arc::new(Client::new(server.port(), AwsIdentity::default())),
        grants: Arc::new(serde_json::from_value(grants).unwrap()),
        in_flight: Arc::new(InFlight::new(&Limits::default())),
        limits: Arc::new(Limits::default()),
        now: "2026-03-09T10:15:00Z".parse().unwrap(),
        config: json!({
            "address": "http://metrics:9090/prefix",
            "authentication": { "oauth2": { "tokenUrl": "http://login/token" } },
        }),
        settings: BTreeMap::new(),
        secrets: [("PLACEHOLDER".to_owned(), "s3cret".to_owned())].into(),
    }
}

fn request(url: &str) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        url: url.to_owned(),
        ..HttpRequest::default()
    }
}

async fn perform(request: HttpRequest) -> (Result<HttpResponse, HttpFailure>, Vec<Received>) {
    let server = Server::default();
    server.page("/q", "answer");
    server.page(
        "/token",
        "{\"access_token\":\"t0ken\",\"token_type\":\"Bearer\",\"expires_in\":60}",
    );
    let outcome = requester(&server).perform(request).await;
    (outcome, server.received())
}

async fn header(auth: Auth) -> String {
    let request = HttpRequest {
        auth: Some(auth),
        ..request("http://metrics:9090/q")
    };
    let (outcome, received) = perform(request).await;
    assert_eq!(outcome.unwrap().status, 200);
    received.last().unwrap().headers["authorization"].clone()
}

#[tokio::test(start_paused = true)]
async fn credentials_are_encoded_by_the_host_with_secrets_in_place() {
    let basic = Auth::Basic {
        username: "me".to_owned(),
        password: "PLACEHOLDER".to_owned(),
    };
    assert_eq!(header(basic).await, "Basic bWU6czNjcmV0");
    assert_eq!(
        header(Auth::Bearer("PLACEHOLDER".to_owned())).await,
        "Bearer s3cret"
    );
    let (outcome, received) = perform(request("http://me:a%40b@metrics:9090/q")).await;
    assert!(outcome.is_ok());
    assert_eq!(received[0].url, "http://metrics:9090/q");
    assert_eq!(received[0].headers["authorization"], "Basic bWU6YUBi");
}

#[tokio::test(start_paused = true)]
async fn secrets_appear_in_the_request_and_nowhere_else() {
    let mut wanted = request("http://metrics:9090/q?key=PLACEHOLDER");
    wanted.headers = vec![
        ("X-Key".to_owned(), "PLACEHOLDER".to_owned()),
        ("x-key".to_owned(), "2".to_owned()),
    ];
    wanted.body = Some(b"{\"key\":\"PLACEHOLDER\"}".to_vec());
    let (outcome, received) = perform(wanted).await;
    assert!(outcome.is_ok());
    assert_eq!(received[0].url, "http://metrics:9090/q?key=s3cret");
    assert_eq!(received[0].body, "{\"key\":\"s3cret\"}");
    let (outcome, received) = perform(request("http://PLACEHOLDER:9090/q")).await;
    let Err(HttpFailure::Denied(why)) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(!why.contains("s3cret"), "{why}");
    assert_eq!(received, []);
}

fn oauth2(token_url: &str) -> Auth {
    Auth::Oauth2 {
        token_url: token_url.to_owned(),
        client_id: "id".to_owned(),
        client_secret: "PLACEHOLDER".to_owned(),
        scopes: vec!["a".to_owned(), "b".to_owned()],
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_once_and_kept_until_shortly_before_it_expires() {
    let server = Server::default();
    server.page("/q", "answer");
    server.page(
        "/token",
        "{\"access_token\":\"t0ken\",\"token_type\":\"Bearer\",\"expires_in\":60}",
    );
    let mut requester = requester(&server);
    let ask = || HttpRequest {
        auth: Some(oauth2("http://login/token")),
        ..request("http://metrics:9090/q")
    };
    for _ in 0..2 {
        requester.perform(ask()).await.unwrap();
    }
    let paths = |server: &Server| {
        server
            .received()
            .iter()
            .map(|received| received.url.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        paths(&server),
        [
            "http://login/token",
            "http://metrics:9090/q",
            "http://metrics:9090/q"
        ]
    );
    let first = &server.received()[0];
    assert_eq!(first.headers["authorization"], "Basic aWQ6czNjcmV0");
    assert_eq!(first.body, "grant_type=client_credentials&scope=a+b");
    assert_eq!(
        server.received()[1].headers["authorization"],
        "Bearer t0ken"
    );
    requester.now = "2026-03-09T10:15:51Z".parse().unwrap();
    requester.perform(ask()).await.unwrap();
    assert_eq!(paths(&server)[3], "http://login/token");
}

#[tokio::test(start_paused = true)]
async fn the_token_that_is_used_most_is_kept_however_many_others_there_are() {
    let server = Server::default();
    server.page("/q", "answer");
    server.page("/token", "{\"access_token\":\"t0ken\"}");
    let requester = requester(&server);
    let ask = async |client_id: &str| {
        let auth = Auth::Oauth2 {
            token_url: "http://login/token".to_owned(),
            client_id: client_id.to_owned(),
            client_secret: "PLACEHOLDER".to_owned(),
            scopes: Vec::new(),
        };
        let request = HttpRequest {
            auth: Some(auth),
            ..request("http://metrics:9090/q")
        };
        requester.perform(request).await.unwrap();
    };
    for number in 0..300 {
        // In the order of names it is the first.
        ask("a").await;
        ask(&format!("b{number}")).await;
    }
    let received = server.received();
    let fetched = received
        .iter()
        .filter(|received| received.url == "http://login/token");
    assert_eq!(fetched.count(), 301);
}

#[tokio::test(start_paused = true)]
async fn a_token_server_that_knows_only_the_form_gets_the_form() {
    let server = Server::default();
    server.page(
        "/token",
        "{\"error\":\"invalid_client\",\"error_description\":\"unknown client\"}",
    );
    let wanted = HttpRequest {
        auth: Some(oauth2("http://login/token")),
        ..request("http://metrics:9090/q")
    };
    let outcome = requester(&server).perform(wanted).await;
    let why = "the token server refuses: status 200 OK unknown client".to_owned();
    assert_eq!(outcome, Err(HttpFailure::Denied(why)));
    let second = &server.received()[1];
    assert_eq!(second.headers.get("authorization"), None);
    assert_eq!(
        second.body,
        "grant_type=client_credentials&scope=a+b&client_id=id&client_secret=s3cret"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_allowed_never_leaves() {
    let with = |change: fn(&mut HttpRequest)| {
        let mut request = request("http://metrics:9090/q");
        change(&mut request);
        request
    };
    let cases: [(HttpRequest, &str); 12] = [
        (
            request("http://elsewhere/q"),
            "the plugin's grant does not allow requests to this address",
        ),
        (request("http://api.example.com/q"), "does not allow"),
        (
            request("file:///etc/passwd"),
            "only http and https are available",
        ),
        (
            request("metrics:9090/q"),
            "only http and https are available",
        ),
        (request("//metrics"), "relative URL without a base"),
        (
            with(|request| request.method = "GE T".to_owned()),
            "\"GE T\" is not an HTTP method",
        ),
        (
            with(|request| request.method = "CONNECT".to_owned()),
            "CONNECT is not available",
        ),
        (
            with(|request| request.headers = vec![("Host".to_owned(), "x".to_owned())]),
            "\"host\" is set by the host",
        ),
        (
            with(|request| request.headers = vec![("a b".to_owned(), "x".to_owned())]),
            "is not a header's name",
        ),
        (
            with(|request| request.headers = vec![("x".to_owned(), "a\r\nb: c".to_owned())]),
            "no header may have",
        ),
        (
            with(|request| request.auth = Some(Auth::AwsSigv4(AwsRequest::default()))),
            "does not allow signatures for the AWS service",
        ),
        (
            with(|request| request.auth = Some(oauth2("http://elsewhere/token"))),
            "auth.oauth2.token-url",
        ),
    ];
    for (request, expected) in cases {
        let shown = format!("{request:?}");
        let (outcome, received) = perform(request).await;
        match outcome {
            Err(HttpFailure::Denied(why)) if why.contains(expected) => {}
            other => panic!("{shown}: {other:?} instead of {expected:?}"),
        }
        assert_eq!(received, [], "{shown}");
    }
    for (name, expected) in [
        ("bound", "no credential is bound to `bound`"),
        ("other", "has no credential `other`"),
    ] {
        let (outcome, received) = perform(HttpRequest {
            auth: Some(Auth::Named(name.to_owned())),
            ..request("http://metrics:9090/q")
        })
        .await;
        assert!(matches!(outcome, Err(HttpFailure::Denied(why)) if why.contains(expected)));
        assert_eq!(received, []);
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_may_come_from_a_setting() {
    let server = Server::default();
    server.page("/q", "");
    let mut requester = requester(&server);
    let ask = || request("http://from-setting:8080/q");
    assert!(requester.perform(ask()).await.is_err());
    requester.settings = [("address".to_owned(), "http://from-setting:8080".to_owned())].into();
    assert!(requester.perform(ask()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_response_is_handed_over_without_cookies_and_hop_by_hop_headers() {
    let server = Server::default();
    server.page("/q", "answer");
    server.pages.lock().unwrap().get_mut("/q").unwrap().headers = vec![
        ("X-Seen", "yes"),
        ("Set-Cookie", "session=1"),
        ("Connection", "close"),
        ("Keep-Alive", "5"),
    ];
    let response = requester(&server)
        .perform(request("http://metrics:9090/q"))
        .await
        .unwrap();
    assert_eq!(response.headers, [("x-seen".to_owned(), "yes".to_owned())]);
    assert_eq!(response.body, b"answer");
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_with_its_time_or_the_hosts() {
    let server = Server::default();
    server.slow_page("/q", "", Duration::from_secs(3600));
    let requester = requester(&server);
    let begun = tokio::time::Instant::now();
    let outcome = requester.perform(request("http://metrics:9090/q")).await;
    assert_eq!(
        (outcome, begun.elapsed().as_secs()),
        (Err(HttpFailure::TimedOut), 10)
    );
    let hasty = HttpRequest {
        timeout: Some(Duration::from_millis(250)),
        ..request("http://metrics:9090/q")
    };
    let begun = tokio::time::Instant::now();
    let outcome = requester.perform(hasty).await;
    assert_eq!(
        (outcome, begun.elapsed().as_millis() / 10),
        (Err(HttpFailure::TimedOut), 25)
    );
}

#[tokio::test(start_paused = true)]
async fn a_plugin_cannot_wait_longer_than_the_host_allows() {
    let server = Server::default();
    server.slow_page("/q", "", Duration::from_secs(3600));
    let patient = HttpRequest {
        timeout: Some(Duration::from_secs(3000)),
        ..request("http://metrics:9090/q")
    };
    let begun = Instant::now();
    let outcome = requester(&server).perform(patient).await;
    assert_eq!(
        (outcome, begun.elapsed().as_secs()),
        (Err(HttpFailure::TimedOut), 300)
    );
}

/// More requests to one server than it has places for.
const MANY: usize = 20;

/// Whether a request is answered, and after how many seconds.
async fn answered(requester: &Requester, url: &str) -> (bool, u64) {
    let begun = Instant::now();
    let outcome = requester.perform(request(url)).await;
    (outcome.is_ok(), begun.elapsed().as_secs())
}

fn all_timed_out(outcomes: &[Result<HttpResponse, HttpFailure>]) -> bool {
    let late = Err(HttpFailure::TimedOut);
    outcomes.len() == MANY && outcomes.iter().all(|outcome| *outcome == late)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_holds_up_requests_to_itself_alone() {
    let server = Server::default();
    server.page("/q", "answer");
    server.slow_page("/hang", "", Duration::from_secs(3600));
    let requester = requester(&server);
    let hanging = (0..MANY).map(|_| requester.perform(request("http://metrics:9090/hang")));
    let other = answered(&requester, "https://api.example.com/q");
    let (hung, other) = futures::join!(join_all(hanging), other);
    assert_eq!(other, (true, 0));
    assert!(all_timed_out(&hung), "{hung:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_server_that_hangs_holds_up_only_who_needs_a_token() {
    let server = Server::default();
    server.page("/q", "answer");
    server.slow_page("/hang", "", Duration::from_secs(3600));
    let requester = requester(&server);
    let hanging = (0..MANY).map(|_| {
        requester.perform(HttpRequest {
            auth: Some(oauth2("http://login/hang")),
            ..request("http://metrics:9090/q")
        })
    });
    let other = answered(&requester, "http://metrics:9090/q");
    let (hung, other) = futures::join!(join_all(hanging), other);
    assert_eq!(other, (true, 0));
    assert!(all_timed_out(&hung), "{hung:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_and_its_request_have_one_time_together() {
    let server = Server::default();
    server.slow_page("/q", "answer", Duration::from_secs(6));
    let token = "{\"access_token\":\"t0ken\"}";
    server.slow_page("/token", token, Duration::from_secs(6));
    let requester = requester(&server);
    let ask = || HttpRequest {
        auth: Some(oauth2("http://login/token")),
        ..request("http://metrics:9090/q")
    };
    let begun = Instant::now();
    let outcome = requester.perform(ask()).await;
    assert_eq!(
        (outcome, begun.elapsed().as_secs()),
        (Err(HttpFailure::TimedOut), 10)
    );
    // The token is there now.
    assert!(requester.perform(ask()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_request_begins_when_it_may_leave() {
    let server = Server::default();
    server.slow_page("/q", "answer", Duration::from_secs(8));
    let requester = requester(&server);
    let begun = Instant::now();
    let asked = (0..MANY).map(|_| requester.perform(request("http://metrics:9090/q")));
    let outcomes = join_all(asked).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(begun.elapsed().as_secs(), 16);
}

#[tokio::test(start_paused = true)]
async fn requests_that_nobody_waits_for_any_more_leave_nothing_behind() {
    let server = Server::default();
    server.slow_page("/q", "", Duration::from_secs(3600));
    let requester = requester(&server);
    let asked = (0..MANY).map(|_| requester.perform(request("http://metrics:9090/q")));
    let asked = tokio::time::timeout(Duration::from_secs(1), join_all(asked));
    let remembered = async { requester.in_flight.remembered() };
    let (given_up, remembered) = futures::join!(asked, remembered);
    assert!(given_up.is_err());
    assert_eq!(remembered, 1);
    assert_eq!(requester.in_flight.remembered(), 0);
    // Their places are free.
    server.page("/q", "answer");
    assert_eq!(
        answered(&requester, "http://metrics:9090/q").await,
        (true, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_plugin_has_so_many_requests_under_way_and_no_more() {
    let server = Server::default();
    server.slow_page("/q", "", Duration::from_secs(5));
    let mut requester = requester(&server);
    let grants = json!({ "http": ["https://*.example.com"] });
    requester.grants = Arc::new(serde_json::from_value(grants).unwrap());
    let few = Limits {
        requests_in_flight: 3,
        ..Limits::default()
    };
    requester.in_flight = Arc::new(InFlight::new(&few));
    let begun = Instant::now();
    let asked = (0..6).map(|number| {
        let url = format!("https://s{number}.example.com/q");
        requester.perform(request(&url))
    });
    let outcomes = join_all(asked).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_too_large_and_a_server_that_is_not_there_are_told() {
    let server = Server::default();
    server.page("/q", &"x".repeat((8 << 20) + 1));
    let requester = requester(&server);
    assert_eq!(
        requester.perform(request("http://metrics:9090/q")).await,
        Err(HttpFailure::TooLarge)
    );
    let refused = HttpFailure::Unreachable("connection refused".to_owned());
    assert_eq!(
        requester
            .perform(request("http://metrics:9090/nothing"))
            .await,
        Err(refused)
    );
}

fn asking(url: &str) -> Guest {
    asking_for(&get("q", url), &json!({ "http": ["http://metrics"] }))
}

/// A provider with these grants that makes this request, and measures 1 whatever comes of it.
pub fn asking_for(request: &Value, grants: &Value) -> Guest {
    let needs = json!({ "reads": [], "http": [request], "state": null });
    let measured: Value = json!({ "ok": { "measured": {
        "measurement": { "value": { "number": 1.0 }, "shown": "1", "phase": null, "message": null, "metadata": [], "metric-metadata": [] },
        "effects": super::guest::no_effects(),
    } } });
    let answers = vec![
        json!({ "ok": { "more": { "needs": needs, "samples": [] } } }),
        measured,
    ];
    Guest::provider(Does::Answers(answers)).with("grants", grants.clone())
}

#[tokio::test(start_paused = true)]
async fn placeholders_of_a_call_are_resolved_by_the_host_alone() {
    let mut world = World::new()
        .load(&asking("http://metrics/q?key=%50HOLDER&PHOLDER"))
        .await;
    world.server.page("/q", "");
    world
        .objects
        .secrets
        .lock()
        .unwrap()
        .insert("shop/creds/token".to_owned(), "s3cret".to_owned());
    let mut call = world.measure();
    call.secrets = vec![SecretPlaceholder {
        placeholder: "PHOLDER".to_owned(),
        namespace: "shop".to_owned(),
        secret: "creds".to_owned(),
        key: "token".to_owned(),
    }];
    world.answer(&call).await;
    assert_eq!(
        world.server.received()[0].url,
        "http://metrics/q?key=%50HOLDER&s3cret"
    );
    assert_eq!(
        world.host.metrics().http[&("probe".to_owned(), "200".to_owned())],
        1
    );
    call.due = 1;
    call.secrets[0].key = "missing".to_owned();
    let (reason, message) = world.broken(&call).await;
    assert_eq!(
        (reason.as_str(), message.as_str()),
        ("SecretMissing", "Secret shop/creds, key missing: not found")
    );
}

/// A server on a real socket, which the in-memory port cannot show.
mod real {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use bytes::Bytes;
    use url::Url;

    use crate::http::AgentRequest;
    use crate::{AddressPolicy, BodyLimit, HttpError, HttpPort, Proxies};

    type Variables = &'static [(&'static str, &'static str)];

    /// Answers each connection with the next of these, and ends.
    fn serve(answers: Vec<String>) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            answers
                .into_iter()
                .map(|answer| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut request = [0; 4096];
                    let read = stream.read(&mut request).unwrap();
                    stream.write_all(answer.as_bytes()).unwrap();
                    String::from_utf8_lossy(&request[..read]).into_owned()
                })
                .collect()
        });
        (address, served)
    }

    fn answer(head: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn get(url: &str) -> http::Request<Bytes> {
        let mut request = http::Request::new(Bytes::new());
        *request.uri_mut() = url.parse().unwrap();
        request
    }

    fn local() -> HttpPort {
        through(Proxies::none())
    }

    fn through(proxies: Proxies) -> HttpPort {
        let policy = AddressPolicy {
            loopback: true,
            ..AddressPolicy::default()
        };
        HttpPort::reqwest(policy, proxies)
    }

    #[tokio::test]
    async fn a_request_reaches_a_server() {
        let (address, served) = serve(vec![answer("201 Created\r\nX-A: b", "hello")]);
        let response = local().send(get(&format!("{address}/q"))).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.body().as_ref()),
            (201, &b"hello"[..])
        );
        assert_eq!(response.headers()["x-a"], "b");
        assert!(served.join().unwrap()[0].starts_with("GET /q HTTP/1.1\r\n"));
    }

    // MP-PROM-007: proxies of the environment are honoured. Nothing else can find these servers.
    #[tokio::test]
    async fn a_proxy_of_the_environment_is_asked_for_what_is_elsewhere() {
        let (address, served) = serve(vec![
            answer("200 OK", "by proxy"),
            answer("403 Forbidden", ""),
        ]);
        let proxy = address.replace("http://", "http://me:a%40b@");
        let environment = move |name: &str| match name {
            "http_proxy" | "HTTPS_PROXY" => Some(proxy.clone()),
            "NO_PROXY" => Some("direct.invalid,.svc,10.0.0.0/8".to_owned()),
            _ => None,
        };
        let port = through(Proxies::of(environment));
        let response = port.send(get("http://metrics.invalid/q")).await.unwrap();
        assert_eq!(response.body().as_ref(), b"by proxy");
        let outcome = port.send(get("https://metrics.invalid/q")).await;
        assert!(outcome.is_err(), "{outcome:?}");
        let asked = served.join().unwrap();
        assert!(
            asked[0].starts_with("GET http://metrics.invalid/q HTTP/1.1\r\n"),
            "{asked:?}"
        );
        assert!(
            asked[1].starts_with("CONNECT metrics.invalid:443 HTTP/1.1\r\n"),
            "{asked:?}"
        );
        for asked in asked {
            let asked = asked.to_ascii_lowercase();
            assert!(
                asked.contains("\r\nproxy-authorization: basic bwu6yubi\r\n"),
                "{asked}"
            );
        }
        let outcome = port.send(get("http://direct.invalid/q")).await;
        assert!(
            matches!(outcome, Err(HttpError::Unreachable(_))),
            "{outcome:?}"
        );
    }

    #[test]
    fn proxies_are_chosen_as_go_does() {
        let proxies = |environment: Variables| {
            Proxies::of(|name| {
                let mut variables = environment.iter();
                let found = variables.find(|(variable, _)| *variable == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let check = |environment: Variables, address: &str, expected: Option<&str>| {
            let address = address.parse().unwrap();
            let found = proxies(environment);
            let found = found.for_address(&address).map(Url::as_str);
            assert_eq!(found, expected, "{environment:?} {address}");
        };
        const BOTH: Variables = &[
            ("HTTP_PROXY", "plain:3128"),
            ("https_proxy", "https://u:p@secure"),
            ("ALL_PROXY", "http://unknown-to-go"),
        ];
        check(&[], "https://a", None);
        check(BOTH, "http://a:81/q", Some("http://plain:3128/"));
        check(BOTH, "https://a/q", Some("https://u:p@secure/"));
        for here in ["localhost", "127.0.0.1", "[::1]", "169.254.170.23"] {
            check(BOTH, &format!("http://{here}:9090/"), None);
        }
        check(&[("ALL_PROXY", "http://all")], "http://a", None);
        check(&[("HTTPS_PROXY", "ftp://a")], "https://a", None);
        check(
            &[("HTTPS_PROXY", " "), ("https_proxy", "b:1")],
            "https://a",
            Some("http://b:1/"),
        );
        for (no_proxy, direct) in [
            ("metrics.svc", true),
            ("svc", true),
            (".svc", true),
            ("other, .example.com,", false),
            ("rics.svc", false),
            ("10.0.0.0/8", false),
            ("*", true),
        ] {
            let found = Proxies::of(|name| match name {
                "HTTP_PROXY" => Some("http://p".to_owned()),
                "no_proxy" => Some(no_proxy.to_owned()),
                _ => None,
            });
            let address = "http://metrics.svc:9090/".parse().unwrap();
            assert_eq!(found.for_address(&address).is_none(), direct, "{no_proxy}");
        }
        let networks = Proxies::of(|name| match name {
            "HTTP_PROXY" => Some("http://p".to_owned()),
            "NO_PROXY" => Some("10.0.0.0/8,192.0.2.1".to_owned()),
            _ => None,
        });
        for (host, direct) in [
            ("10.1.2.3", true),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
        ] {
            let address = format!("http://{host}/").parse().unwrap();
            assert_eq!(networks.for_address(&address).is_none(), direct, "{host}");
        }
        let everything = Proxies::of(|name| match name {
            "HTTP_PROXY" => Some("http://p".to_owned()),
            "NO_PROXY" => Some("a, *".to_owned()),
            _ => None,
        });
        let address = "http://192.0.2.1/".parse().unwrap();
        assert_eq!(everything.for_address(&address), None);
        let shown = format!("{:?}", proxies(BOTH));
        assert!(!shown.contains("u:p"), "{shown}");
    }

    #[tokio::test]
    async fn redirects_are_followed_within_the_origin_only() {
        let (address, served) = serve(vec![
            answer("302 Found\r\nLocation: /there", ""),
            answer(
                "302 Found\r\nLocation: http://localhost:1/elsewhere",
                "see there",
            ),
        ]);
        let response = local().send(get(&format!("{address}/here"))).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.body().as_ref()),
            (302, &b"see there"[..])
        );
        assert!(served.join().unwrap()[1].starts_with("GET /there "));
    }

    #[tokio::test]
    async fn addresses_are_checked_whether_named_or_resolved() {
        let (address, _served) = serve(vec![String::new()]);
        let port = address.rsplit(':').next().unwrap().to_owned();
        let strict = HttpPort::reqwest(AddressPolicy::default(), Proxies::none());
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            let outcome = strict.send(get(&format!("http://{host}:{port}/"))).await;
            assert!(
                matches!(&outcome, Err(HttpError::Denied(why)) if why.ends_with("is the controller's own machine")),
                "{host}: {outcome:?}"
            );
        }
    }

    #[tokio::test]
    async fn only_the_hosts_own_requests_reach_an_agent_on_this_machine() {
        let (address, served) = serve(vec![answer("200 OK", "{}")]);
        let strict = HttpPort::reqwest(AddressPolicy::default(), Proxies::none());
        let outcome = strict.send(get(&address)).await;
        assert!(matches!(outcome, Err(HttpError::Denied(_))), "{outcome:?}");
        let mut own = get(&address);
        own.extensions_mut().insert(AgentRequest);
        assert_eq!(strict.send(own).await.unwrap().body().as_ref(), b"{}");
        assert_eq!(served.join().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_not_read_to_its_end() {
        let (address, _served) = serve(vec![answer("200 OK", &"x".repeat(1000))]);
        let mut request = get(&address);
        request.extensions_mut().insert(BodyLimit(999));
        assert_eq!(
            local().send(request).await.unwrap_err(),
            HttpError::TooLarge
        );
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_or_speaks_no_tls_is_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = listener.local_addr().unwrap();
        drop(listener);
        let outcome = local().send(get(&format!("http://{gone}/"))).await;
        assert!(
            matches!(&outcome, Err(HttpError::Unreachable(why)) if why.contains("refused")),
            "{outcome:?}"
        );
        let (address, _served) = serve(vec![answer("400 Bad Request", "")]);
        let outcome = local().send(get(&address.replace("http:", "https:"))).await;
        assert!(matches!(&outcome, Err(HttpError::Tls(_))), "{outcome:?}");
    }
}
