//! Signatures for AWS: what they are, with whose credentials they are made, and who gets none.
//!
//! The signatures were computed by another program from AWS's description; the first is the one that AWS publishes.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use serde_json::json;

use super::guest;
use super::requests::asking_for;
use super::world::{Received, Server, World};
use crate::http::{
    Auth, AwsIdentity, AwsRequest, Client, HttpFailure, HttpRequest, InFlight, Requester,
};
use crate::limits::Limits;

const WORKSPACE: &str =
    "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/query";
const ROLE: &str = "arn:aws:iam::123456789012:role/metrics";
const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    (
        "AWS_SECRET_ACCESS_KEY",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    ),
];

fn identity(variables: &[(&str, &str)]) -> AwsIdentity {
    let variables: BTreeMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    AwsIdentity::of(|name| variables.get(name).cloned())
}

/// A requester of a plugin with this identity behind it, at the time of AWS's own examples.
fn requester(server: &Server, identity: AwsIdentity) -> Requester {
    let grants = json!({
        "http": ["https://aps-workspaces.eu-west-1.amazonaws.com", "https://example.amazonaws.com", "https://example.amazonaws.com:8443"],
        "awsServices": ["aps", "service"],
    });
    Requester {
        client: Arc::new(Client::new(server.port(), identity)),
        grants: Arc::new(serde_json::from_value(grants).unwrap()),
        in_flight: Arc::new(InFlight::new(&Limits::default())),
        limits: Arc::new(Limits::default()),
        now: "2015-08-30T12:36:00Z".parse().unwrap(),
        config: json!({}),
        settings: BTreeMap::new(),
        secrets: [("PLACEHOLDER".to_owned(), ROLE.to_owned())].into(),
    }
}

fn aws(service: &str, region: &str) -> AwsRequest {
    AwsRequest {
        service: service.to_owned(),
        region: Some(region.to_owned()),
        ..AwsRequest::default()
    }
}

fn get(url: &str, aws: AwsRequest) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        url: url.to_owned(),
        auth: Some(Auth::AwsSigv4(aws)),
        ..HttpRequest::default()
    }
}

/// As the provider for Prometheus asks.
fn query(aws: AwsRequest) -> HttpRequest {
    let content_type = "application/x-www-form-urlencoded";
    HttpRequest {
        method: "POST".to_owned(),
        headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
        body: Some(b"query=up&time=1".to_vec()),
        ..get(WORKSPACE, aws)
    }
}

fn with_role(role: &str) -> AwsRequest {
    AwsRequest {
        role_arn: Some(role.to_owned()),
        ..aws("aps", "eu-west-1")
    }
}

/// A server of metrics, a Security Token Service whose credentials end at this time, and an agent for containers.
fn server(expiration: &str) -> Server {
    let server = Server::default();
    server.page("/workspaces/ws-1/api/v1/query", "answer");
    server.page("/a%20b/c", "answer");
    let fields = format!(
        "<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>role+secret</SecretAccessKey>\
         <SessionToken>role/token==</SessionToken><Expiration>{expiration}</Expiration>"
    );
    server.page(
        "/",
        &format!("<R><Credentials>\n{fields}</Credentials></R>"),
    );
    server.page(
        "/v1/credentials",
        &json!({
            "AccessKeyId": "ASIAAGENT", "SecretAccessKey": "agent-secret", "Token": "agent-token",
            "Expiration": expiration, "AccountId": "1",
        })
        .to_string(),
    );
    server
}

fn authorization(received: &Received) -> &str {
    &received.headers["authorization"]
}

async fn asked(identity: AwsIdentity, request: HttpRequest) -> Vec<Received> {
    let server = server("2015-08-30T13:36:00Z");
    let answer = requester(&server, identity).perform(request).await.unwrap();
    assert_eq!(answer.status, 200);
    server.received()
}

async fn denied(identity: AwsIdentity, request: HttpRequest) -> String {
    let server = server("2015-08-30T13:36:00Z");
    let outcome = requester(&server, identity).perform(request).await;
    assert_eq!(server.received(), []);
    match outcome {
        Err(HttpFailure::Denied(why)) => why,
        other => panic!("{other:?}"),
    }
}

// MP-PROM-007
#[tokio::test(start_paused = true)]
async fn a_request_is_signed_as_aws_describes_it() {
    let received = asked(
        identity(&KEYS),
        get(
            "https://example.amazonaws.com/",
            aws("service", "us-east-1"),
        ),
    )
    .await;
    assert_eq!(
        authorization(&received[0]),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, \
         Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    );
    assert_eq!(received[0].headers["x-amz-date"], "20150830T123600Z");

    let received = asked(identity(&KEYS), query(aws("aps", "eu-west-1"))).await;
    assert_eq!(
        authorization(&received[0]),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/aps/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=bd75737bfb4670dc3e60c60f2bc53c7363198151a22b4a9672d2297ba6cce786"
    );
}

#[tokio::test(start_paused = true)]
async fn paths_queries_ports_and_tokens_are_part_of_the_signature() {
    let mut keys = KEYS.to_vec();
    keys.push(("AWS_SESSION_TOKEN", "SESSION"));
    keys.push(("AWS_REGION", "eu-west-1"));
    let url = format!("{WORKSPACE}?query=sum(a)+%2F%202&time=1");
    let mut wanted = aws("aps", "");
    wanted.region = None;
    let received = asked(identity(&keys), get(&url, wanted)).await;
    assert_eq!(
        authorization(&received[0]),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/aps/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-security-token, \
         Signature=791871fb93e73353b140bf1dff5e1af5e27f2cdb6a69419751eaa91f9c83181c"
    );
    assert_eq!(received[0].headers["x-amz-security-token"], "SESSION");

    let url = "https://example.amazonaws.com:8443/a%20b/c?z=%C3%BC&a=~*&b";
    let mut request = get(url, aws("service", "us-east-1"));
    // What a plugin says for itself here is replaced.
    request.headers = ["X-Amz-Date", "X-Amz-Security-Token", "Authorization"]
        .map(|name| (name.to_owned(), "mine".to_owned()))
        .into();
    let received = asked(identity(&KEYS), request).await;
    assert_eq!(
        authorization(&received[0]),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, \
         Signature=604d244e9ecfd69790d6af28952d9b250bffe7bcacf8c8d275516a161bdaf6d2"
    );
    assert_eq!(received[0].headers.get("x-amz-security-token"), None);
}

// MP-PROM-007
#[tokio::test(start_paused = true)]
async fn a_role_is_assumed_once_until_shortly_before_its_credentials_expire() {
    let server = server("2015-08-30T13:36:00Z");
    let mut requester = requester(&server, identity(&KEYS));
    for _ in 0..2 {
        requester
            .perform(query(with_role("PLACEHOLDER")))
            .await
            .unwrap();
    }
    let received = server.received();
    let [assumed, signed, again] = &received[..] else {
        panic!("{received:?}")
    };
    assert_eq!(
        (assumed.method.as_str(), assumed.url.as_str()),
        ("POST", "https://sts.eu-west-1.amazonaws.com/")
    );
    assert_eq!(
        assumed.body,
        "Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fmetrics\
         &RoleSessionName=sluice&Version=2011-06-15"
    );
    assert_eq!(
        authorization(assumed),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/sts/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=1b9dc33b2b186d79f33b58713d032496734439bef34b7053f3d49ff1dc468445"
    );
    assert_eq!(
        authorization(signed),
        "AWS4-HMAC-SHA256 Credential=ASIAROLE/20150830/eu-west-1/aps/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
         Signature=5f568a0f637574550f3c82f040e2b559eef06addc3c22706929cbb6fabd40236"
    );
    assert_eq!(signed.headers["x-amz-security-token"], "role/token==");
    assert_eq!(signed, again);

    requester.now = "2015-08-30T13:31:01Z".parse().unwrap();
    requester.perform(query(with_role(ROLE))).await.unwrap();
    assert_eq!(server.received()[3].url, assumed.url);
}

// MP-PROM-007
#[tokio::test(start_paused = true)]
async fn a_service_accounts_token_is_exchanged_for_credentials() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"web+token\n").unwrap();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.path().to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/own"),
        ("AWS_REGION", "cn-north-1"),
    ];
    let mut wanted = aws("aps", "");
    wanted.region = None;
    let received = asked(identity(&variables), query(wanted)).await;
    assert_eq!(received[0].url, "https://sts.cn-north-1.amazonaws.com.cn/");
    assert_eq!(received[0].headers.get("authorization"), None);
    assert_eq!(
        received[0].body,
        "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fown\
         &RoleSessionName=sluice&WebIdentityToken=web%2Btoken&Version=2011-06-15"
    );
    assert!(
        authorization(&received[1]).contains("Credential=ASIAROLE/20150830/cn-north-1/aps/"),
        "{received:?}"
    );

    let missing = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token"),
        ("AWS_ROLE_ARN", "arn"),
    ];
    let why = denied(identity(&missing), query(aws("aps", "eu-west-1"))).await;
    assert!(
        why.starts_with("no AWS credentials: /nowhere/token: "),
        "{why}"
    );
}

// MP-PROM-007
#[tokio::test(start_paused = true)]
async fn an_agent_on_the_node_is_asked_for_credentials() {
    let agent = "http://169.254.170.23/v1/credentials";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"pod-token").unwrap();
    let token_file = file.path().to_str().unwrap();
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token_file),
    ];
    let received = asked(identity(&variables), query(aws("aps", "eu-west-1"))).await;
    assert_eq!(received[0].url, agent);
    assert_eq!(authorization(&received[0]), "pod-token");
    assert!(authorization(&received[1]).contains("Credential=ASIAAGENT/"));
    assert_eq!(received[1].headers["x-amz-security-token"], "agent-token");

    let relative = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v1/credentials")];
    let received = asked(identity(&relative), query(aws("aps", "eu-west-1"))).await;
    assert_eq!(received[0].url, "http://169.254.170.2/v1/credentials");

    for elsewhere in [
        "http://example.com/v1",
        "http://169.254.169.254/v1",
        "http://localhost/",
    ] {
        let variables = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", elsewhere)];
        let why = denied(identity(&variables), query(aws("aps", "eu-west-1"))).await;
        assert!(why.ends_with("nor an address of an agent"), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_without_the_grant_gets_no_signature() {
    let server = server("2015-08-30T13:36:00Z");
    let mut requester = requester(&server, identity(&KEYS));
    let outcome = |service: &str| query(aws(service, "eu-west-1"));
    let denied = |service: &str| {
        Err(HttpFailure::Denied(format!(
            "the plugin's grant does not allow signatures for the AWS service `{service}`"
        )))
    };
    assert_eq!(requester.perform(outcome("sts")).await, denied("sts"));
    let grants = json!({ "http": ["https://aps-workspaces.eu-west-1.amazonaws.com"] });
    requester.grants = Arc::new(serde_json::from_value(grants).unwrap());
    assert_eq!(requester.perform(outcome("aps")).await, denied("aps"));
    assert_eq!(server.received(), []);
}

// MP-PROM-007
#[tokio::test(start_paused = true)]
async fn what_cannot_be_signed_for_says_why_and_never_leaves() {
    let profile = AwsRequest {
        profile: Some("dev".to_owned()),
        ..aws("aps", "eu-west-1")
    };
    let why = denied(identity(&KEYS), query(profile)).await;
    assert!(why.starts_with("sigv4.profile: "), "{why}");
    assert_eq!(
        denied(identity(&KEYS), query(aws("aps", ""))).await,
        "region not configured in sigv4 or in default credentials chain"
    );
    assert_eq!(
        denied(identity(&KEYS), query(aws("aps", "eu.example.com/"))).await,
        "sigv4.region: is not the name of a region"
    );
    let why = denied(identity(&[]), query(aws("aps", "eu-west-1"))).await;
    assert!(why.starts_with("no AWS credentials: "), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_not_given_is_told_with_aws_own_words() {
    let server = server("");
    let refusal = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                   <Message>not &lt;you&gt;</Message></Error></ErrorResponse>";
    server.page("/", refusal);
    server.pages.lock().unwrap().get_mut("/").unwrap().status = 403;
    let outcome = requester(&server, identity(&KEYS))
        .perform(query(with_role(ROLE)))
        .await;
    let why = "no AWS credentials: the Security Token Service: status 403 Forbidden AccessDenied not <you>";
    assert_eq!(outcome, Err(HttpFailure::Denied(why.to_owned())));
}

// MP-PROM-007
#[tokio::test(start_paused = true)]
async fn a_guests_wish_for_a_signature_is_granted_by_its_manifest_alone() {
    let mut wish = guest::get("q", WORKSPACE);
    wish["auth"] = json!({ "aws-sigv4": {
        "service": "aps", "region": "eu-west-1", "role-arn": ROLE, "profile": null,
    } });
    let mut grants = json!({ "http": ["https://aps-workspaces.eu-west-1.amazonaws.com"] });
    for granted in [false, true] {
        if granted {
            grants["awsServices"] = json!(["aps"]);
        }
        let mut world = World::with(|settings| settings.aws = identity(&KEYS))
            .load(&asking_for(&wish, &grants))
            .await;
        let pages = server("2026-03-09T11:15:00Z").pages.lock().unwrap().clone();
        *world.server.pages.lock().unwrap() = pages;
        let call = world.measure();
        world.answer(&call).await;
        let received = world.server.received();
        if granted {
            assert_eq!(received.len(), 2, "{received:?}");
            assert!(received[0].body.contains("role%2Fmetrics"), "{received:?}");
            let begin = "AWS4-HMAC-SHA256 Credential=ASIAROLE/20260309/eu-west-1/aps/";
            assert!(
                authorization(&received[1]).starts_with(begin),
                "{received:?}"
            );
        } else {
            assert_eq!(received, []);
        }
    }
}

#[test]
fn keys_come_before_a_web_identity_and_that_before_an_agent_and_none_is_shown() {
    let all = [
        KEYS[0],
        KEYS[1],
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("AWS_ROLE_ARN", "arn"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/"),
    ];
    let source = |variables: &[(&str, &str)]| {
        let shown = format!("{:?}", identity(variables));
        assert!(!shown.contains("wJalr"), "{shown}");
        ["keys", "web identity", "container"]
            .into_iter()
            .find(|source| shown.contains(source))
    };
    assert_eq!(source(&all), Some("keys"));
    // Half a pair of keys is none.
    assert_eq!(source(&all[1..]), Some("web identity"));
    assert_eq!(source(&all[3..]), Some("container"));
    assert_eq!(source(&[("AWS_ACCESS_KEY_ID", "")]), None);
}
