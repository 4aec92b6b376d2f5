//! Where a kind is served: from the list in `kinds.rs`, else from the API server's discovery, which is asked once per
//! group and version, and again only when a kind was missing from the answer or was not served where the answer said.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIResourceList};
use kube::Client;
use tokio::time::Instant;

use crate::feed::Trouble;
use crate::kinds::{self, Served};

/// A kind that was missing is looked for again after this time: somebody may be installing its CRD.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// What discovery has said.
pub(crate) struct Discovery {
    client: Client,
    answers: Mutex<BTreeMap<String, Answer>>,
}

#[derive(Clone, Debug)]
struct Answer {
    asked: Instant,
    kinds: Result<BTreeMap<String, Served>, Trouble>,
}

impl Discovery {
    /// Nothing is asked yet.
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            answers: Mutex::default(),
        }
    }

    /// The place of a kind.
    ///
    /// # Errors
    /// When the kind is not served, or the API server cannot be asked.
    pub(crate) async fn find(&self, api_version: &str, kind: &str) -> Result<Served, Trouble> {
        if let Some(known) = kinds::known(api_version, kind) {
            return Ok(known);
        }
        if let Some(answer) = self.remembered(api_version) {
            match found(&answer, api_version, kind) {
                Ok(served) => return Ok(served),
                Err(trouble)
                    if answer.asked.elapsed() < ASK_AGAIN
                        && !matches!(trouble, Trouble::Unavailable(_)) =>
                {
                    return Err(trouble);
                }
                Err(_) => {}
            }
        }
        let answer = Answer {
            kinds: self.ask(api_version).await,
            asked: Instant::now(),
        };
        let result = found(&answer, api_version, kind);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(api_version.to_owned(), answer);
        result
    }

    /// The place of a kind in the version of its group that the API server prefers, or else in the first that has it.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(crate) async fn find_in_group(&self, group: &str, kind: &str) -> Result<Served, Trouble> {
        if group.is_empty() {
            return self.find("v1", kind).await;
        }
        let request = http::Request::get(format!("/apis/{}", kinds::escape(group)));
        let request = request
            .body(Vec::new())
            .map_err(|error| Trouble::NotServed(error.to_string()))?;
        let group: APIGroup = self
            .client
            .request(request)
            .await
            .map_err(|error| Trouble::of(&error))?;
        let mut answer = Err(Trouble::NotServed(format!(
            "the API server serves no version of {}",
            group.name
        )));
        for version in group.preferred_version.iter().chain(&group.versions) {
            answer = self.find(&version.group_version, kind).await;
            if !matches!(answer, Err(Trouble::NotServed(_))) {
                break;
            }
        }
        answer
    }

    /// A trouble with a kind that was found in this version. That it is not served there after all says nothing for now of
    /// the kind or of its objects: the answer is dropped, and who tries again finds out where the kind is, or that it is
    /// nowhere.
    pub(crate) fn misplaced(&self, api_version: &str, trouble: Trouble) -> Trouble {
        match trouble {
            Trouble::NotServed(message) => {
                self.forget(api_version);
                Trouble::Unavailable(message)
            }
            Trouble::Forbidden(_) | Trouble::Unavailable(_) => trouble,
        }
    }

    /// Drops what is known of a version.
    pub(crate) fn forget(&self, api_version: &str) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.remove(api_version);
    }

    fn remembered(&self, api_version: &str) -> Option<Answer> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(api_version).cloned()
    }

    async fn ask(&self, api_version: &str) -> Result<BTreeMap<String, Served>, Trouble> {
        let (group, version) = kinds::split(api_version);
        let path = if group.is_empty() {
            format!("/api/{}", kinds::escape(version))
        } else {
            format!("/apis/{}/{}", kinds::escape(group), kinds::escape(version))
        };
        let request = http::Request::get(path).body(Vec::new());
        let request = request.map_err(|error| Trouble::NotServed(error.to_string()))?;
        let list: APIResourceList = self
            .client
            .request(request)
            .await
            .map_err(|error| Trouble::of(&error))?;
        // Names with a slash are subresources.
        let resources = list
            .resources
            .into_iter()
            .filter(|resource| !resource.name.contains('/'));
        Ok(resources
            .map(|resource| {
                let served = Served::new(
                    api_version,
                    &resource.kind,
                    &resource.name,
                    resource.namespaced,
                );
                (resource.kind, served)
            })
            .collect())
    }
}

fn found(answer: &Answer, api_version: &str, kind: &str) -> Result<Served, Trouble> {
    let kinds = answer.kinds.as_ref().map_err(Clone::clone)?;
    kinds.get(kind).cloned().ok_or_else(|| {
        Trouble::NotServed(format!(
            "the API server serves no kind {kind} in {api_version}"
        ))
    })
}
