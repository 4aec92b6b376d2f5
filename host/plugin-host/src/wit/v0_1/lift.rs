//! From the guest's types to the host's. An error says what about the answer makes no sense, naming the field.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use sluice_engine::object::ObjectKey;
use sluice_engine::plan::{Propagation, Severity};
use sluice_engine::plugin::{
    Disposition, Effects, Measured, MeasuredValue, Notice, Refusal, Reply, Routed, Stepped,
    Verification, Waiting, Wish,
};
use sluice_engine::read::{Read, Select};

use super::Lifted;
use super::bindings::exports::sluice::plugin::{
    endpoint_verifier, metric_provider, step, traffic_router,
};
use super::bindings::sluice::plugin::types;
use crate::answer::{Answer, Change, ChangeEdit, Draft, Facts, Needs, Wanted};
use crate::clock::after;
use crate::http::{Auth, AwsRequest, HttpRequest, Trust};
use crate::question::Question;

pub(super) fn checked(
    facts: &Facts<'_>,
    answer: Result<traffic_router::Checked, types::PluginError>,
) -> Lifted {
    match answer {
        Ok(traffic_router::Checked::Usable(usable)) => done(
            Reply::Usable,
            Wanted {
                watch: reads(usable.watch),
                ..Wanted::default()
            },
            None,
        ),
        Ok(traffic_router::Checked::More(more)) => Ok(Answer::More(needs(more))),
        Err(error) => Ok(refused(facts, error)),
    }
}

pub(super) fn routed(
    facts: &Facts<'_>,
    answer: Result<traffic_router::Reply, types::PluginError>,
) -> Lifted {
    match answer {
        Ok(traffic_router::Reply::Done(plan)) => {
            let reply = Reply::Routed(Routed {
                effects: Effects::default(),
                verification: verification(plan.verification),
                status: optional_json("status", plan.status)?,
            });
            let state = checked_json("state", plan.state)?;
            done(reply, wanted(plan.effects)?, state)
        }
        Ok(traffic_router::Reply::More(more)) => Ok(Answer::More(needs(more))),
        Err(error) => Ok(refused(facts, error)),
    }
}

pub(super) fn measured(
    facts: &Facts<'_>,
    answer: Result<metric_provider::Reply, types::PluginError>,
) -> Lifted {
    match answer {
        Ok(metric_provider::Reply::Measured(finished)) => {
            let reply = Reply::Measured(Box::new(measurement(finished.measurement)?));
            done(reply, wanted(finished.effects)?, None)
        }
        Ok(metric_provider::Reply::Wait(waiting)) => {
            let reply = Reply::Waiting(Waiting {
                effects: Effects::default(),
                metadata: map(waiting.metadata),
                message: waiting.message,
            });
            done(reply, wanted(waiting.effects)?, None)
        }
        Ok(metric_provider::Reply::More(more)) => {
            let mut wanted = needs(more.needs);
            for sample in more.samples {
                wanted
                    .samples
                    .push((sample.id, json("samples.provider", &sample.provider)?));
            }
            Ok(Answer::More(wanted))
        }
        Err(error) => Ok(refused(facts, error)),
    }
}

pub(super) fn stepped(
    facts: &Facts<'_>,
    answer: Result<step::Reply, types::PluginError>,
) -> Lifted {
    match answer {
        Ok(step::Reply::Done(outcome)) => {
            let reply = Reply::Stepped(Stepped {
                phase: match outcome.phase {
                    step::Phase::Running => "Running",
                    step::Phase::Successful => "Successful",
                    step::Phase::Failed => "Failed",
                    step::Phase::Error => "Error",
                }
                .to_owned(),
                message: outcome.message,
                status: optional_json("status", outcome.status)?,
                weight: outcome.weight,
                wish: match outcome.wish {
                    step::Wish::None => Wish::None,
                    step::Wish::PromoteFull => Wish::PromoteFull,
                    step::Wish::Abort => Wish::Abort,
                },
                effects: Effects::default(),
            });
            done(reply, wanted(outcome.effects)?, None)
        }
        Ok(step::Reply::More(more)) => Ok(Answer::More(needs(more))),
        Err(error) => Ok(refused(facts, error)),
    }
}

pub(super) fn verified(
    facts: &Facts<'_>,
    answer: Result<endpoint_verifier::Reply, types::PluginError>,
) -> Lifted {
    match answer {
        Ok(endpoint_verifier::Reply::Done(verified)) => {
            let reply = Reply::Verified {
                verification: verification(verified.verification),
                effects: Effects::default(),
            };
            done(reply, wanted(verified.effects)?, None)
        }
        Ok(endpoint_verifier::Reply::More(more)) => Ok(Answer::More(needs(more))),
        Err(error) => Ok(refused(facts, error)),
    }
}

fn done(reply: Reply, wanted: Wanted, state: Option<String>) -> Lifted {
    Ok(Answer::Done(Box::new(Draft {
        reply,
        wanted,
        state,
    })))
}

fn refused(facts: &Facts<'_>, error: types::PluginError) -> Answer {
    let reply = Reply::Refused(Refusal {
        disposition: match error.disposition {
            types::Disposition::Retry => Disposition::Retry,
            types::Disposition::Fail => Disposition::Fail,
            types::Disposition::InvalidConfig => Disposition::InvalidConfig,
        },
        field: error.field,
        reason: error.reason,
        message: error.message,
        again_at: error
            .retry_after
            .map(|millis| after(facts.now, Duration::from_millis(millis.into()))),
        notices: Vec::new(),
        metadata: map(error.metadata),
    });
    Answer::Done(Box::new(Draft {
        reply,
        wanted: Wanted {
            watch: reads(error.watch),
            notices: notices(error.notices),
            ..Wanted::default()
        },
        // An error decides nothing, the next state included.
        state: facts.state.map(str::to_owned),
    }))
}

fn verification(verification: types::Verification) -> Verification {
    match verification.state {
        types::VerificationState::InEffect => Verification::InEffect,
        types::VerificationState::Pending => Verification::Pending(verification.why),
        types::VerificationState::NotSupported => Verification::NotSupported,
    }
}

fn measurement(measurement: metric_provider::Measurement) -> Result<Measured, String> {
    let value = match measurement.value {
        None => None,
        Some(metric_provider::Value::Number(number)) => Some(MeasuredValue::Number(number)),
        Some(metric_provider::Value::Numbers(numbers)) => Some(MeasuredValue::Numbers(numbers)),
        Some(metric_provider::Value::Text(text)) => Some(MeasuredValue::Text(text)),
        Some(metric_provider::Value::Document(text)) => {
            Some(MeasuredValue::Document(json("measurement.value", &text)?))
        }
    };
    Ok(Measured {
        value,
        shown: measurement.shown,
        phase: measurement.phase.map(|phase| {
            match phase {
                metric_provider::Phase::Successful => "Successful",
                metric_provider::Phase::Failed => "Failed",
                metric_provider::Phase::Inconclusive => "Inconclusive",
                metric_provider::Phase::Error => "Error",
            }
            .to_owned()
        }),
        message: measurement.message,
        metadata: map(measurement.metadata),
        metric_metadata: map(measurement.metric_metadata),
        effects: Effects::default(),
    })
}

fn wanted(effects: types::Effects) -> Result<Wanted, String> {
    Ok(Wanted {
        changes: effects
            .changes
            .into_iter()
            .enumerate()
            .map(|(index, change)| {
                self::change(change).map_err(|why| format!("effects.changes[{index}].{why}"))
            })
            .collect::<Result<_, _>>()?,
        watch: reads(effects.watch),
        notices: notices(effects.notices),
        again_after: effects.again_after,
    })
}

fn change(change: types::Change) -> Result<Change, String> {
    let edit = match change.edit {
        types::Edit::Create(creation) => ChangeEdit::Create {
            body: json("edit.body", &creation.body)?,
            owned: creation.owned,
        },
        types::Edit::MergePatch(patch) => ChangeEdit::MergePatch(json("edit.merge-patch", &patch)?),
        types::Edit::JsonPatch(patch) => ChangeEdit::JsonPatch(json("edit.json-patch", &patch)?),
        types::Edit::Delete(types::Propagation::Background) => {
            ChangeEdit::Delete(Propagation::Background)
        }
        types::Edit::Delete(types::Propagation::Foreground) => {
            ChangeEdit::Delete(Propagation::Foreground)
        }
        types::Edit::Delete(types::Propagation::Orphan) => ChangeEdit::Delete(Propagation::Orphan),
    };
    Ok(Change {
        target: ObjectKey {
            api_version: change.target.api_version,
            kind: change.target.kind,
            namespace: change.target.namespace,
            name: change.target.name,
        },
        edit,
        precondition: change.precondition,
        reason: change.reason,
    })
}

fn needs(needs: types::Needs) -> Needs {
    Needs {
        reads: reads(needs.reads),
        http: needs.http.into_iter().map(request).collect(),
        samples: Vec::new(),
        state: needs.state,
    }
}

fn reads(reads: Vec<types::Read>) -> Vec<(String, Question)> {
    reads
        .into_iter()
        .map(|read| {
            let select = match read.select {
                types::Selector::Name(name) => Select::Name(name),
                types::Selector::Labels(labels) => Select::Labels(map(labels)),
                types::Selector::Annotated(pair) => Select::Annotated {
                    name: pair.name,
                    value: pair.value,
                },
            };
            let question = Question {
                read: Read {
                    api_version: read.api_version,
                    kind: read.kind,
                    namespace: read.namespace,
                    select,
                },
            };
            (read.id, question)
        })
        .collect()
}

fn request(request: types::HttpRequest) -> (String, HttpRequest) {
    let auth = request.auth.map(|auth| match auth {
        types::Auth::Named(name) => Auth::Named(name),
        types::Auth::Basic(basic) => Auth::Basic {
            username: basic.username,
            password: basic.password,
        },
        types::Auth::Bearer(token) => Auth::Bearer(token),
        types::Auth::Oauth2(client) => Auth::Oauth2 {
            token_url: client.token_url,
            client_id: client.client_id,
            client_secret: client.client_secret,
            scopes: client.scopes,
        },
        types::Auth::AwsSigv4(aws) => Auth::AwsSigv4(AwsRequest {
            service: aws.service,
            region: aws.region,
            role_arn: aws.role_arn,
            profile: aws.profile,
        }),
    });
    let trust = request.tls.map_or_else(Trust::default, |tls| Trust {
        insecure: tls.insecure_skip_verify,
        ca_pem: tls.ca_pem,
    });
    let wanted = HttpRequest {
        method: request.method,
        url: request.url,
        headers: request
            .headers
            .into_iter()
            .map(|pair| (pair.name, pair.value))
            .collect(),
        body: request.body,
        auth,
        trust,
        timeout: request
            .timeout
            .map(|millis| Duration::from_millis(millis.into())),
    };
    (request.id, wanted)
}

fn notices(notices: Vec<types::Notice>) -> Vec<Notice> {
    notices
        .into_iter()
        .map(|notice| Notice {
            severity: match notice.severity {
                types::Severity::Normal => Severity::Normal,
                types::Severity::Warning => Severity::Warning,
            },
            reason: notice.reason,
            message: notice.message,
        })
        .collect()
}

fn map(pairs: Vec<types::Pair>) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|pair| (pair.name, pair.value))
        .collect()
}

fn json(field: &str, text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{field}: {error}"))
}

fn optional_json(field: &str, text: Option<String>) -> Result<Option<Value>, String> {
    text.map(|text| json(field, &text)).transpose()
}

/// The text itself, once it is known to be JSON.
fn checked_json(field: &str, text: Option<String>) -> Result<Option<String>, String> {
    if let Some(text) = &text {
        serde_json::from_str::<serde::de::IgnoredAny>(text)
            .map_err(|error| format!("{field}: {error}"))?;
    }
    Ok(text)
}
