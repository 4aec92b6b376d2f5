//! What the server answered: numbers, or what Argo Rollouts says when there are none.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluice_plugin_sdk::provider::{Measurement, Value};
use sluice_plugin_sdk::{HttpFailure, HttpResponse, Level, Pair, log};

/// The envelope of every answer of the API.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Envelope<'a> {
    status: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    error_type: String,
    error: String,
    warnings: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(default)]
    result_type: String,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

/// A moment and the value at it, which is text since JSON has no NaN.
#[derive(Deserialize)]
struct Sample(
    #[expect(dead_code, reason = "takes its place in the list")] serde_json::Value,
    String,
);

#[derive(Deserialize)]
struct Instant {
    /// None for a native histogram, of which Argo Rollouts sees a zero.
    value: Option<Sample>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    values: Vec<Sample>,
}

/// Does the server refuse the method, so that the other one is tried?
pub fn wants_get(outcome: &Result<HttpResponse, HttpFailure>) -> bool {
    matches!(
        outcome,
        Ok(HttpResponse {
            status: 405 | 501,
            ..
        })
    )
}

/// The measurement that an answer holds.
///
/// # Errors
/// Why it holds none.
pub fn measurement(
    method: &str,
    url: &str,
    outcome: &Result<HttpResponse, HttpFailure>,
) -> Result<Measurement, String> {
    let response = outcome
        .as_ref()
        .map_err(|failure| no_response(method, url, failure))?;
    let envelope = envelope(response)?;
    let text = envelope.data.map_or("", RawValue::get);
    let data: Data<'_> = serde_json::from_str(text).map_err(|error| json_error(text, &error))?;
    let result = data.result.map_or("null", RawValue::get);
    let mut measurement = match data.result_type.as_str() {
        "scalar" => {
            let sample: Sample = decode(result)?;
            let number = number(&sample)?;
            Measurement::of(Value::Number(number), shown(number))
        }
        "vector" => {
            let series: Vec<Instant> = decode(result)?;
            let numbers = series
                .iter()
                .map(|instant| instant.value.as_ref().map_or(Ok(0.0), number));
            list(numbers.collect::<Result<_, _>>()?)
        }
        "matrix" => {
            let series: Vec<Series> = decode(result)?;
            let numbers = series.iter().flat_map(|series| &series.values).map(number);
            list(numbers.collect::<Result<_, _>>()?)
        }
        other => return Err(format!("unexpected value type {other:?}")),
    };
    let warnings = envelope.warnings.unwrap_or_default();
    if !warnings.is_empty() {
        let quoted: Vec<String> = warnings
            .iter()
            .map(|warning| format!("\"{warning}\""))
            .collect();
        let quoted = quoted.join(", ");
        log(
            Level::Warn,
            "Prometheus returned warnings",
            &[("warnings", &quoted)],
        );
        measurement.metadata.push(Pair::new("warnings", quoted));
    }
    Ok(measurement)
}

/// As Go's HTTP client says it.
fn no_response(method: &str, url: &str, failure: &HttpFailure) -> String {
    let why = match failure {
        HttpFailure::Denied(why) | HttpFailure::Unreachable(why) | HttpFailure::Tls(why) => why,
        HttpFailure::TimedOut => "context deadline exceeded",
        HttpFailure::TooLarge => "the response is too large",
    };
    let mut method = method.to_ascii_lowercase();
    if let Some(first) = method.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("{method} {:?}: {why}", without_password(url))
}

fn without_password(url: &str) -> String {
    let hidden = || {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let (user, host) = authority.rsplit_once('@')?;
        let (name, _) = user.split_once(':')?;
        Some(format!("{scheme}://{name}:***@{host}{path}"))
    };
    hidden().unwrap_or_else(|| url.to_owned())
}

/// As the official client of Prometheus judges an answer.
fn envelope(response: &HttpResponse) -> Result<Envelope<'_>, String> {
    let status = response.status;
    // These two come with an explanation in the body.
    let explained = matches!(status, 400 | 422);
    if status / 100 != 2 && !explained {
        return Err(match status / 100 {
            4 => format!("client_error: client error: {status}"),
            5 => format!("server_error: server error: {status}"),
            _ => format!("bad_response: bad response code {status}"),
        });
    }
    let envelope = if status == 204 {
        Envelope::default()
    } else {
        let text = std::str::from_utf8(&response.body)
            .map_err(|error| format!("bad_response: {error}"))?;
        serde_json::from_str(text)
            .map_err(|error| format!("bad_response: {}", json_error(text, &error)))?
    };
    if envelope.status == "error" {
        return Err(format!("{}: {}", envelope.error_type, envelope.error));
    }
    if explained && envelope.status == "success" {
        return Err("bad_response: inconsistent body for response code".to_owned());
    }
    Ok(envelope)
}

fn decode<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| json_error(text, &error))
}

/// The two mistakes that are met in practice (an empty body, a page of a proxy) in the words of Argo Rollouts.
fn json_error(text: &str, error: &serde_json::Error) -> String {
    match text.trim_start().chars().next() {
        None => "unexpected end of JSON input".to_owned(),
        Some(first) if !matches!(first, '{' | '[' | '"' | '-' | '0'..='9' | 't' | 'f' | 'n') => {
            format!("invalid character '{first}' looking for beginning of value")
        }
        Some(_) => error.to_string(),
    }
}

fn number(sample: &Sample) -> Result<f64, String> {
    sample
        .1
        .parse()
        .map_err(|_| format!("strconv.ParseFloat: parsing {:?}: invalid syntax", sample.1))
}

fn list(numbers: Vec<f64>) -> Measurement {
    let texts: Vec<String> = numbers.iter().copied().map(shown).collect();
    Measurement::of(Value::Numbers(numbers), format!("[{}]", texts.join(",")))
}

/// The shortest decimal text without an exponent.
fn shown(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    number.to_string()
}
